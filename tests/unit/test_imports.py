"""The packages import downwards only: a module leads to the packages below it, and to none above."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.aws.deployment import ROOT

# Lowest first. A package imports itself and the layers below it; two packages that share a layer import each other only
# if TOGETHER has them. All deployed packages are below `local`, so they import nothing that is not deployed.
LAYERS = (
    ("totes.errors", "totes.runtime"),
    ("totes.contracts",),
    ("totes.postgres",),
    ("totes.lake",),
    ("totes.source", "totes.warehouse"),
    ("totes",),  # the use cases
    ("totes.alerts",),
    ("totes.verify",),
    ("functions",),
    ("local",),
    ("cli",),  # what commands and the page share
    ("web",),
    ("cli.commands", "cli.rehearsal"),
    ("cli.main",),
    ("cli.__main__",),
    ("tools",),
    ("benchmarks",),
    ("tests",),
)
# Errors are redacted, and the code that redacts raises errors. A command opens the drill, which shows the same as
# commands.
TOGETHER = ({"totes.errors", "totes.runtime"}, {"cli.commands", "cli.rehearsal"})
RANKS = {package: rank for rank, packages in enumerate(LAYERS) for package in packages}
OURS = frozenset(package.partition(".")[0] for package in RANKS)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for package in sorted(OURS) for path in (ROOT / package).rglob("*.py")}


def package_of(module: str) -> str:
    """Returns the package of LAYERS that a module is in: the longest name that fits."""
    return max((name for name in RANKS if f"{module}.".startswith(f"{name}.")), key=len)


def imports_of(module: str, text: str) -> Iterator[str]:
    """Yields each of our modules that a module imports, at its top, in a function or for its types."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import, which this test does not follow"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            named = [name if name in MODULES else str(node.module) for name in inside]
        else:
            continue
        yield from (name for name in named if name.partition(".")[0] in OURS)


def is_downwards(importer: str, imported: str) -> bool:
    here, there = package_of(importer), package_of(imported)
    return here == there or RANKS[there] < RANKS[here] or {here, there} in TOGETHER


def test_imports_go_downwards_only() -> None:
    found = {(name, other) for name, path in MODULES.items() for other in imports_of(name, path.read_text("utf-8"))}
    assert len(found) > 500
    assert [f"{here} imports {there}" for here, there in sorted(found) if not is_downwards(here, there)] == []


def test_every_folder_of_the_package_has_its_layer() -> None:
    folders = {f"totes.{path.parent.name}" for path in (ROOT / "totes").glob("*/__init__.py")}
    assert folders == {package for package in RANKS if package.startswith("totes.")} - {"totes.errors"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import totes.load", ["totes.load"]),
        ("def f():\n    from totes import load, errors", ["totes.load", "totes.errors"]),
        ("from totes.load import load", ["totes.load"]),
        ("if TYPE_CHECKING:\n    from cli.main import app", ["cli.main"]),
        ("import json, pyarrow as pa", []),
    ],
)
def test_all_forms_of_an_import_are_seen(text: str, found: list[str]) -> None:
    assert list(imports_of("m", text)) == found


@pytest.mark.parametrize(
    ("importer", "imported", "downwards"),
    [
        ("totes.load", "totes.warehouse.rules", True),
        ("totes.warehouse.rules", "totes.load", False),
        ("totes.source.fence", "totes.warehouse.rules", False),
        ("totes.warehouse.rules", "totes.source.fence", False),
        ("totes.load", "totes.verify.replay.replay", False),
        ("totes.verify.replay.replay", "totes.load", True),
        ("totes.errors", "totes.runtime.redaction", True),
        ("totes.runtime.redaction", "totes.contracts.files", False),
        ("functions.load", "local.stack", False),
        ("local.stack", "cli.main", False),
        ("cli.commands.up", "web.server", True),
        ("web.view", "cli.progress", True),
        ("web.view", "cli.commands.run", False),
        ("cli.progress", "web.view", False),
    ],
)
def test_downwards_means_what_it_says(importer: str, imported: str, downwards: bool) -> None:
    assert is_downwards(importer, imported) == downwards
