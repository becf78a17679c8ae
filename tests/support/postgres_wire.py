"""What goes over the wire to PostgreSQL: every statement of the pipeline's connections, however it is sent."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from tests.support.processes import here
from totes.postgres.driver import PipelineConnection

COMMIT = "COMMIT"
# The server does the same when a dead process' connection ends.
_ROLLBACK = "ROLLBACK"
Listener = Callable[[str], object]

_listeners: list[Listener] = []
_tapped = ExitStack()
_lock = threading.Lock()


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tells a listener of each statement before it is sent, COPYs and commits too, for as long as the block lasts.

    Where a listener raises, the statement is not sent. It runs in the thread that sends the statement.
    """
    with _lock:
        if not _listeners:
            _tap()
        _listeners.append(listener)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(listener)
            if not _listeners:
                _tapped.close()


def _tap() -> None:
    """Patches what pg8000 makes the two messages with that hold a statement."""
    parse, query = PipelineConnection.send_PARSE, PipelineConnection.send_QUERY

    def send_parse(connection: Any, name: bytes, statement: str, *given: Any) -> None:
        _tell(statement)
        parse(connection, name, statement, *given)

    def send_query(connection: Any, statement: str) -> None:
        _tell(statement)
        query(connection, statement)

    _tapped.enter_context(mock.patch.object(PipelineConnection, "send_PARSE", send_parse))
    _tapped.enter_context(mock.patch.object(PipelineConnection, "send_QUERY", send_query))


def _tell(statement: str) -> None:
    upper = statement.strip().upper()
    if upper == _ROLLBACK:
        return
    process = here()
    if process and process.cause:
        raise process.cause
    for listener in list(_listeners):
        listener(COMMIT if upper == COMMIT else statement)
