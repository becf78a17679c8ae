"""Listens to the wire to PostgreSQL: every statement of the pipeline's connections, however it is sent."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from tests.support.processes import here
from tests.support.taps import Tap
from totes.postgres.driver import PipelineConnection

COMMIT = "COMMIT"
# The server does the same when a dead process' connection ends.
_ROLLBACK = "ROLLBACK"
Listener = Callable[[str], object]

_send_parse, _send_query = PipelineConnection.send_PARSE, PipelineConnection.send_QUERY
_wire: Tap[Listener] = Tap(
    # pg8000 makes the two messages that hold a statement with these functions.
    lambda: mock.patch.object(PipelineConnection, "send_PARSE", _parse),
    lambda: mock.patch.object(PipelineConnection, "send_QUERY", _query),
)


def heard_by(listener: Listener) -> AbstractContextManager[None]:
    """Calls a listener with each statement before it is sent, COPYs and commits too, during the block.

    If a listener raises, the statement is not sent. The listener runs in the thread that sends the statement.
    """
    return _wire.heard_by(listener)


def _parse(connection: Any, name: bytes, statement: str, *given: Any) -> None:
    _tell(statement)
    _send_parse(connection, name, statement, *given)


def _query(connection: Any, statement: str) -> None:
    _tell(statement)
    _send_query(connection, statement)


def _tell(statement: str) -> None:
    upper = statement.strip().upper()
    if upper == _ROLLBACK:
        return
    process = here()
    if process and process.cause:
        raise process.cause
    for listener in _wire.listeners:
        listener(COMMIT if upper == COMMIT else statement)
