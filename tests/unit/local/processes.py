"""Finds processes and waits for them, for tests of what a stack leaves behind."""

import time
from collections.abc import Callable

import psutil


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Returns whether a condition comes true in time."""
    give_up = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def runs(process: int) -> bool:
    """Returns whether a process exists and is no zombie; a process whose last threads still end is running."""
    try:
        found = psutil.Process(process)
        return found.status() != psutil.STATUS_ZOMBIE or found.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


def descendants(process: int) -> list[int]:
    """Returns the processes that a process has started, and those that they have started."""
    return [child.pid for child in psutil.Process(process).children(recursive=True)]
