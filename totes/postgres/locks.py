"""Takes locks that keep readers out.

While we queue for a table's lock, later readers of the table queue behind us. So we queue only briefly, and try again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pg8000.dbapi

from totes.postgres.driver import PipelineConnection
from totes.postgres.server_errors import LOCK_TIMEOUT, sqlstate
from totes.postgres.session import LOCK_SECONDS

# We queue for each lock no longer than this, so no reader waits longer behind us.
QUEUE_MILLISECONDS = 150
_PAUSE_SECONDS = 0.35


def change_at_once(connection: PipelineConnection, change: Callable[[], object]) -> bool:
    """Makes a change that keeps readers out, if its locks are free at once.

    Returns:
        False if a lock was refused. Then nothing was changed and no lock is held.
    """
    try:
        with _queueing_briefly(connection):
            change()
    except pg8000.dbapi.DatabaseError as error:
        if sqlstate(error) == LOCK_TIMEOUT:
            return False
        raise
    return True


def change_when_free(connection: PipelineConnection, change: Callable[[], object]) -> None:
    """Makes a change that keeps readers out.

    If a lock is refused, it lets the readers pass and tries again, for LOCK_SECONDS.

    Raises:
        pg8000.dbapi.DatabaseError: the last attempt did not get a lock either, SQLSTATE 55P03.
    """
    give_up_at = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < give_up_at:
        if change_at_once(connection, change):
            return
        time.sleep(_PAUSE_SECONDS)
    with _queueing_briefly(connection):
        change()


@contextmanager
def _queueing_briefly(connection: PipelineConnection) -> Iterator[None]:
    """Queues for a lock for QUEUE_MILLISECONDS at most inside the block, and rolls the block back if it fails."""
    usual = connection.execute("SELECT pg_catalog.current_setting('lock_timeout')").scalar()
    with connection.savepoint():
        connection.execute(f"SET LOCAL lock_timeout = '{QUEUE_MILLISECONDS}ms'")
        yield
        connection.execute(f"SET LOCAL lock_timeout = '{usual}'")
