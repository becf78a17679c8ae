from collections.abc import Callable
from pathlib import Path

import pytest

from local.aws.deployment import PACKED
from totes.verify.doctor import code
from totes.verify.doctor.code import code_digest

FILES = ("functions/ingest.py", "totes/load.py", "totes/sql/load.sql", "schemas/source/staff.toml")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    return tmp_path


def overwrite(file: Path) -> None:
    file.write_text("changed", encoding="utf-8")


def rename(file: Path) -> None:
    file.rename(f"{file}.py")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "change",
    [lambda file: file.write_text("changed"), lambda file: file.rename(f"{file}.py"), lambda file: file.unlink()],
)
def test_every_packed_file_counts(checkout: Path, name: str, change: Callable[[Path], object]) -> None:
    before = code_digest(checkout)
    change(checkout / name)
    assert code_digest(checkout) != before


def test_what_is_not_packed_does_not_count(checkout: Path) -> None:
    before = code_digest(checkout)
    for name in ("totes/__pycache__/load.pyc", "functions/notes.md", "docs/deploy.md"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("any", encoding="utf-8")
    assert code_digest(checkout) == before


def test_folders_are_those_that_are_packed() -> None:
    assert {folder for folder, _ in code._PACKED} == set(PACKED)
