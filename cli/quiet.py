"""What the functions' code logs stays out of the way where a command runs it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_log_lines() -> Iterator[None]:
    """The log goes to stdout, which is CloudWatch's where it is deployed and a script's here."""
    from totes.runtime.log import logger

    level = logger.log_level
    logger.setLevel("CRITICAL")
    try:
        yield
    finally:
        logger.setLevel(level)
