"""Canaries: the internals of pg8000 and scramp that totes/postgres/driver.py relies on, and their gaps that it fills.

A `relies` that fails after an upgrade names an internal that has changed: the code that uses it must follow. A `still`
that fails means that the library now fills the gap itself: that part of the driver can go.
"""

import inspect
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pg8000.dbapi
import pytest
import scramp.core
from pg8000.core import Context, CoreConnection
from scramp import ScramException

from local.postgres.server import SOCKET_NAME, SUPERUSER, Postgres
from totes.postgres.driver import _BEGIN, Connection, PipelineConnection

UTC = {"TimeZone": "UTC"}
ROWS = 5_000
COPY = f"COPY (SELECT generate_series(1, {ROWS})) TO STDOUT"


class Counted:
    """A connection's file, which counts how often it is flushed: each flush is a round trip."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.flushes = 0

    def flush(self) -> None:
        self.flushes += 1
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Sink:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, row: bytes) -> None:
        self.writes.append(row)

    def writelines(self, rows: list[bytes]) -> None:
        self.writes.append(b"".join(rows))


def address(postgres: Postgres) -> dict[str, Any]:
    path = f"{postgres.host}/{SOCKET_NAME}"
    return {"user": SUPERUSER, "unix_sock": path, "ssl_context": False, "database": SUPERUSER}


@pytest.fixture
def ours(postgres: Postgres) -> Iterator[Any]:
    with closing(PipelineConnection(UTC, UTC, lambda _: None, **address(postgres))) as connection:
        yield connection


@pytest.fixture
def theirs(postgres: Postgres) -> Iterator[Any]:
    connection = pg8000.dbapi.connect(**address(postgres))
    file = connection._sock
    yield connection
    with suppress(pg8000.dbapi.InterfaceError):
        connection.close()
    file.close()


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("execute_simple", ["self", "statement"]),
        ("execute_unnamed", ["self", "statement", "vals", "oids", "stream"]),
        ("handle_COPY_DATA", ["self", "data", "context"]),
        ("handle_messages", ["self", "context"]),
        ("send_PARSE", ["self", "statement_name_bin", "statement", "oids"]),
        ("send_DESCRIBE_STATEMENT", ["self", "statement_name_bin"]),
        ("send_BIND", ["self", "statement_name_bin", "params"]),
        ("send_EXECUTE", ["self"]),
        ("close", ["self"]),
    ],
)
def test_driver_relies_on_methods(method: str, parameters: list[str]) -> None:
    assert [*inspect.signature(getattr(CoreConnection, method)).parameters] == parameters


def test_driver_relies_on_a_context_of_rows_and_a_stream() -> None:
    context = Context("COPY", stream=Sink())
    assert {"rows", "columns", "row_count", "stream"} <= vars(context).keys()


def test_driver_relies_on_a_socket_and_a_file_around_it(theirs: Any) -> None:
    assert theirs._usock.fileno() > 0
    # `peek` shows the received bytes without taking them.
    assert {"peek", "read", "write", "flush", "close"} <= set(dir(theirs._sock))
    assert theirs.py_types


def test_driver_relies_on_how_a_transaction_begins(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(ours, "_begin", lambda: begun.append(_BEGIN))
    ours.cursor().execute("SELECT 1")
    assert begun == [_BEGIN]


def test_pg8000_still_leaves_its_file_open(theirs: Any) -> None:
    file = theirs._sock
    theirs.close()
    assert not file.closed


def test_pg8000_still_leaves_its_socket_open_if_the_server_goes() -> None:
    client, server = socket.socketpair()
    server.close()
    try:
        with pytest.raises(pg8000.dbapi.InterfaceError):
            pg8000.dbapi.connect("anybody", sock=client, ssl_context=False)
        assert client.fileno() > 0
    finally:
        # pg8000's file would keep a closed socket open, and Python 3.13 would warn about it in a later test.
        os.close(client.detach())


def test_connection_that_is_refused_before_it_begins_closes_its_socket() -> None:
    """pg8000 closes it only if it fails after that."""
    client, server = socket.socketpair()
    with server:
        with pytest.raises(pg8000.dbapi.InterfaceError, match="cannot be None"):
            Connection(None, sock=client)
        assert client.fileno() == -1


def test_pg8000_still_takes_more_round_trips(ours: Any, theirs: Any) -> None:
    counted = []
    for connection in (ours, theirs):
        connection.autocommit = True
        connection._sock = Counted(connection._sock)
        connection.execute_unnamed("SELECT 1")
        counted.append(connection._sock.flushes)
    assert counted[0] == 1 < counted[1]


def test_pg8000_still_takes_a_copy_row_by_row(ours: Any, theirs: Any) -> None:
    writes = []
    for connection in (ours, theirs):
        sink = Sink()
        connection.cursor().execute(COPY, stream=sink)
        assert b"".join(sink.writes).count(b"\n") == ROWS
        writes.append(len(sink.writes))
    assert writes[0] < ROWS == writes[1]


def test_scramp_still_refuses_what_the_server_takes() -> None:
    with pytest.raises(ScramException):
        scramp.utils.saslprep("\u0221")  # unassigned in Unicode 3.2
    # scramp looks this function up here, and the driver has put its own in its place.
    assert scramp.core.saslprep is not scramp.utils.saslprep
    assert scramp.core.saslprep("\u0221") == "\u0221"
    assert "saslprep(password)" in inspect.getsource(scramp.core)
