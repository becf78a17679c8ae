import threading
from pathlib import Path

import pytest

from totes.errors import ObjectMissing
from totes.lake.bucket import Lake, StoredObject
from totes.lake.side_by_side import Downloads, SideBySide

PATIENCE = 60


@pytest.fixture
def stored(lake: Lake, tmp_path: Path) -> list[StoredObject]:
    path = tmp_path / "file"
    path.write_bytes(b"the same bytes")
    return [lake.add(path, f"data/{table}/batch=00000001", 1) for table in ("staff", "payment")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "downloads").mkdir()
    return made


def test_calls_run_at_the_same_time() -> None:
    together = threading.Barrier(44)
    with SideBySide() as threads:
        running = [threads.submit(together.wait, PATIENCE) for _ in range(44)]
    assert sorted(call.result() for call in running) == list(range(44))


def test_all_calls_have_ended_when_one_has_failed() -> None:
    ended = []
    with pytest.raises(ZeroDivisionError), SideBySide() as threads:  # noqa: PT012  the block is what is tested
        failing = threads.submit(lambda: 1 // 0)
        threads.submit(lambda: (threading.Event().wait(0.05), ended.append(True)))
        failing.result()
    assert ended == [True]


def test_object_is_downloaded_once(lake: Lake, folder: Path, stored: list[StoredObject]) -> None:
    with Downloads(lake, folder) as downloads:
        downloads.begin(stored)
        first = downloads.file(stored[0])
        first.write_bytes(b"not downloaded again")
        assert downloads.file(stored[0]).read_bytes() == b"not downloaded again"


def test_objects_of_the_same_bytes_are_files_of_their_own(lake: Lake, folder: Path, stored: list[StoredObject]) -> None:
    with Downloads(lake, folder) as downloads:
        files = {downloads.file(found) for found in stored}
    assert files == {folder / found.key.replace("/", ".") for found in stored}
    assert {file.read_bytes() for file in files} == {b"the same bytes"}


def test_failed_download_fails_where_its_file_is_asked_for(
    lake: Lake, folder: Path, stored: list[StoredObject]
) -> None:
    gone = StoredObject("data/gone.parquet", 1, 1, "ab")
    with Downloads(lake, folder) as downloads:
        downloads.begin([gone, *stored])
        assert downloads.file(stored[1]).exists()
        with pytest.raises(ObjectMissing, match=r"data/gone\.parquet"):
            downloads.file(gone)
