"""A report's folder is either complete, or as it was before."""

import json
from pathlib import Path

import pytest

from cli.errors import Misused
from cli.report.folder import MARKER, write_folder

FILES = {"index.html": b"new", "answers/a.csv": b"1"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, files: dict[str, bytes] = FILES) -> None:
    write_folder(folder, files, {"stage": "local"})


@pytest.mark.parametrize("place", ["report", "deep/er/report"])
def test_folder_is_made_with_all_files(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    write(folder)
    found = contents(folder)
    assert json.loads(found.pop(MARKER)) == {"stage": "local"}
    assert found == FILES
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    write(tmp_path / "report")
    assert contents(tmp_path / "report").keys() > FILES.keys()


def test_former_report_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "report", {"index.html": b"old", "answers/gone.csv": b"0"})
    write(tmp_path / "report")
    assert contents(tmp_path / "report").keys() == {*FILES, MARKER}


def test_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "report").symlink_to(tmp_path / "there")
    write(tmp_path / "report")
    assert (tmp_path / "report").is_symlink()
    assert contents(tmp_path / "there").keys() > FILES.keys()


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Misused, match="has files that are not from a report"):
        write(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Misused, match="is a file"):
        write(tmp_path / "file")
    assert contents(tmp_path) == {"notes.txt": b"mine", "file": b"mine"}


@pytest.mark.parametrize("at", ["write_bytes", "rename"])
def test_failure_leaves_the_former_report_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    write(tmp_path / "report", {"index.html": b"old"})
    before = contents(tmp_path / "report")
    real = getattr(Path, at)

    def fails(path: Path, *arguments: object) -> object:
        if path.name in ("made", "a.csv"):
            raise OSError(28, "No space left on device", str(path))
        return real(path, *arguments)

    monkeypatch.setattr(Path, at, fails)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "report")
    monkeypatch.undo()
    assert contents(tmp_path / "report") == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_failure_without_a_former_report_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "report")
    (tmp_path / "made").mkdir()
    assert (tmp_path / "report").stat().st_mode == (tmp_path / "made").stat().st_mode
