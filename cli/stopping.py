"""Prints a last message when SIGTERM or SIGHUP ends a command that runs a stack."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def said_when_terminated(say: Callable[[], None]) -> Iterator[None]:
    """Calls `say` after a signal has stopped the stack. Re-raises the SystemExit that the stack made of the signal."""
    try:
        yield
    except SystemExit:
        with suppress(OSError):  # the terminal may be gone
            say()
        raise
