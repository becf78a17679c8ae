"""Silences the functions' log when a command runs their code."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_log_lines() -> Iterator[None]:
    """Suppresses log lines in the block. They go to stdout, which belongs to the command's own output here."""
    from totes.runtime.log import logger

    level = logger.log_level
    logger.setLevel("CRITICAL")
    try:
        yield
    finally:
        logger.setLevel(level)
