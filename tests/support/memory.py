"""Finds a folder in memory, for the databases of the tests.

Each test has its own copies of databases. On some disks a copy takes six times as much of the processor's time as in
memory.
"""

import os
import shutil
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108  each server makes a folder of its own in it
# Those of three workers took a tenth of it.
_ENOUGH = 4 << 30


def memory() -> Path | None:
    """Returns the folder, or None if there is none, if it has too little room, or if no program may run from it."""
    if not FOLDER.is_dir() or shutil.disk_usage(FOLDER).free < _ENOUGH:
        return None
    # As root, the server runs from a copy of its programs that is in the same folder.
    return None if os.statvfs(FOLDER).f_flag & os.ST_NOEXEC else FOLDER
