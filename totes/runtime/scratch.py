"""Makes the folder in /tmp for a batch's files."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from totes.errors import DiskFull

PREFIX = "totes-scratch-"


@contextmanager
def scratch() -> Iterator[Path]:
    """Makes an empty folder, and removes it at the end.

    Lambda keeps /tmp from one invocation to the next, even after it killed a function. So folders of killed processes
    are removed first. Each living process holds a lock on its folder, because several may share /tmp on a laptop.

    Raises:
        DiskFull: the disk is full.
    """
    _remove_abandoned()
    folder, lock = _locked_folder()
    try:
        yield folder
    except Exception as error:
        if not _is_full(error):
            raise
        raise DiskFull(
            f"The disk is full: {folder.parent} has {_megabytes(shutil.disk_usage(folder).total):,} MB, of which this "
            f"batch used {_megabytes(_used(folder)):,} MB.",
            "Give the function a larger disk (ephemeralStorageSize in serverless.yml, at most 10240) and deploy. If a "
            "command failed, free space in the folder that TMPDIR names. If 10240 is too little for Ingest, run a "
            "backfill, which reads large tables in parts.",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    """Returns a new folder and the lock on it, which the system releases when the process ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # Another process removed it before it was locked.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # It has just been removed, or belongs to another user.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # Its process lives.
        finally:
            os.close(lock)


def _is_full(error: BaseException | None) -> bool:
    """Returns whether a full disk caused an error, directly or when a file was closed."""
    while error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        error = error.__cause__ or error.__context__
    return False


def _used(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _megabytes(size: int) -> int:
    return size >> 20
