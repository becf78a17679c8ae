import errno
import fcntl
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from totes.errors import DiskFull
from totes.lake.parquet import parquet_writer
from totes.runtime import scratch as module
from totes.runtime.scratch import PREFIX, scratch

FULL = Path("/dev/full")
HOLDS_ONE = """
from totes.runtime.scratch import scratch
with scratch() as folder:
    (folder / "data").write_bytes(b"rows")
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts temporary files into a folder of the test's own, here and in processes that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def process_in_a_batch() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Yields a process that has such a folder, and the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_folder_is_gone_at_the_end(tmp: Path) -> None:
    with scratch() as folder:
        assert folder.parent == tmp
    assert list(tmp.iterdir()) == []


def test_next_batch_removes_files_of_killed_process(tmp: Path) -> None:
    with process_in_a_batch() as (process, left):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (left / "data").exists()
        with scratch() as folder:
            assert list(tmp.iterdir()) == [folder]


def test_folder_of_a_living_process_is_left_alone() -> None:
    with process_in_a_batch() as (_, theirs), scratch():
        assert (theirs / "data").exists()


def test_folder_of_another_thread_is_left_alone() -> None:
    with scratch() as ours, scratch():
        assert ours.exists()


def test_files_of_others_are_left_alone(tmp: Path) -> None:
    (tmp / "totes-socket").mkdir()
    (tmp / f"{PREFIX}file").touch()
    with scratch():
        assert {path.name for path in tmp.iterdir()} >= {"totes-socket", f"{PREFIX}file"}


def test_folder_removed_before_its_lock_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make, lock = tempfile.mkdtemp, fcntl.flock

    def mkdtemp(prefix: str) -> str:
        made.append(make(prefix=prefix))
        if len(made) == 1:
            Path(made[0]).rmdir()
        return made[-1]

    def flock(folder: int, how: int) -> None:
        if len(made) == 2:
            Path(made[1]).rmdir()
            made.append("removed")
        lock(folder, how)

    monkeypatch.setattr(module.tempfile, "mkdtemp", mkdtemp)
    monkeypatch.setattr(module.fcntl, "flock", flock)
    with scratch() as folder:
        assert (str(folder), folder.exists()) == (made[3], True)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_parquet_that_does_not_fit_says_so(tmp: Path) -> None:
    with pytest.raises(DiskFull, match="ephemeralStorageSize") as caught:
        fill_the_disk()
    assert f"{tmp} has " in caught.value.found
    assert "this batch used 3 MB" in caught.value.found
    assert list(tmp.iterdir()) == []


def test_error_of_closing_a_full_file_says_so() -> None:
    with pytest.raises(DiskFull), scratch():
        fail_to_close()


def test_other_errors_pass() -> None:
    with pytest.raises(OSError, match="refused"), scratch():
        raise OSError(errno.ECONNREFUSED, "refused")


def fill_the_disk() -> None:
    schema = pa.schema([("key", pa.int32())])
    with scratch() as folder:
        (folder / "other").write_bytes(bytes(3 << 20))
        (folder / "data").symlink_to(FULL)
        with parquet_writer(folder / "data", schema) as writer:
            writer.write(pa.table({"key": range(1_000_000)}, schema=schema))


def fail_to_close() -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    finally:
        raise ValueError("the file is not closed")
