"""Keeps track of the handlers that run in this process, each as if in a process of its own that can die."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Killed(BaseException):
    """Ends a simulated process. Nothing catches it."""


class Process:
    """One run of a handler.

    Attributes:
        cause: the error that killed it. After that, none of its messages reaches S3 or PostgreSQL.
        interrupted: how many of its requests wait for an action of the test.
    """

    def __init__(self) -> None:
        self.cause: BaseException | None = None
        self.thread = threading.get_ident()
        self.interrupted = 0

    def die(self, cause: BaseException) -> None:
        self.cause = self.cause or cause


_running: list[Process] = []
_lock = threading.Lock()


@contextmanager
def process() -> Iterator[None]:
    """Runs a handler in the block. If it was killed, the block ends with that error, even if the handler caught it."""
    running = Process()
    _running.append(running)
    try:
        yield
    except BaseException as error:
        if running.cause in (None, error):
            raise
    finally:
        _running.remove(running)
    if running.cause:
        raise running.cause


@contextmanager
def interrupted(sender: Process | None) -> Iterator[None]:
    """Marks a process as waiting for an action: requests that come meanwhile are another process'."""
    if sender is None:
        yield
        return
    with _lock:
        sender.interrupted += 1
    try:
        yield
    finally:
        with _lock:
            sender.interrupted -= 1


def here() -> Process | None:
    """Returns the process that the current thread runs, or else the one that started the thread."""
    thread = threading.get_ident()
    return next((running for running in reversed(list(_running)) if running.thread == thread), None) or sender()


def sender() -> Process | None:
    """Returns the process that a request comes from; None if several are at work, because a request names none."""
    running = list(_running)
    # A process that waits for an action may still send from its other threads.
    active = [one for one in running if not one.interrupted] or running[-1:]
    return active[0] if len(active) == 1 else None
