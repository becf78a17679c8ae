import json
import re
from pathlib import Path

import pytest

from totes import errors
from totes.contracts.declarations import ContractInvalid

ROOT = Path(__file__).parents[4]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# A text that is a path: it has a file's extension, or is a folder.
_NAMED = re.compile(
    r"\[`?((?:[\w.-]+/)*[\w-]+(?:(?:\.[\w-]+)*\.(?:py|toml|sql|ya?ml|json|md|html|css|js|txt|in|svg|png)|/))`?\]\(([^)\s]+)\)"
)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        assert not heading or heading in _anchors(target), f"{page.name} links to {link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_link_that_names_a_file_leads_to_it(page: Path) -> None:
    for name, link in _NAMED.findall(page.read_text(encoding="utf-8")):
        path = link.partition("#")[0]
        if not link.startswith("https://") and path:
            target = (page.parent / path).resolve()
            assert f"/{target}".endswith(f"/{name.removeprefix('../').rstrip('/')}"), f"{page.name}: {name} is {link}"


def test_architecture_names_every_state() -> None:
    definition = json.loads((ROOT / "statemachine" / "pipeline.asl.json").read_text(encoding="utf-8"))
    assert {state for state in definition["States"] if state not in ARCHITECTURE} == set()


def test_architecture_says_what_becomes_of_every_error() -> None:
    groups = {errors.TotesError, errors.TransientError, errors.TerminalError}
    raised = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TotesError)}
    names = {kind.__name__ for kind in (raised | {ContractInvalid}) - groups}
    assert {name for name in names if f"`{name}`" not in ARCHITECTURE} == set()


def test_every_test_that_shows_security_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    assert len(named) > 15
    for path, test in named:
        assert f"\ndef {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {test}"


def _anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub gives to a page's headings."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
