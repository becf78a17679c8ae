"""What a command that runs a stack says when SIGTERM or SIGHUP ends it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def said_when_terminated(say: Callable[[], None]) -> Iterator[None]:
    """Says it after a signal that the stack turns into SystemExit, once all is stopped, and lets it end the process."""
    try:
        yield
    except SystemExit:
        with suppress(OSError):  # the terminal may be gone
            say()
        raise
