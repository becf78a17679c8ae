import contextlib
import errno
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pg8000.exceptions import InterfaceError

from local.postgres.databases import LOADER, READER
from tests.support.pipeline import Pipeline
from totes.errors import (
    AccessDenied,
    ContractViolation,
    DatabaseFailed,
    SourceBusy,
    SourceUnreachable,
    TotesError,
    WarehouseBusy,
    WarehouseUnreachable,
)
from totes.postgres import connection as connections
from totes.postgres.connection import SESSION, TOTESYS, WAREHOUSE, Database, connected, quoted
from totes.postgres.copy import copy_in
from totes.postgres.driver import PipelineConnection
from totes.runtime.secrets import Credentials

Connection = PipelineConnection
Connects = Callable[[Database], contextlib.AbstractContextManager[Connection]]


@pytest.fixture
def reader(pipeline: Pipeline) -> Credentials:
    return pipeline.credentials(pipeline.source, READER)


@pytest.fixture
def connect(pipeline: Pipeline, reader: Credentials) -> Connects:
    """Connects to totesys or to the warehouse as the functions do."""
    credentials = {TOTESYS.name: reader, WAREHOUSE.name: pipeline.credentials(pipeline.warehouse)}
    return lambda database: connected(database, credentials[database.name], "totes-test")


def execute(connection: Connection, *statements: str) -> None:
    with connection.begin():
        for statement in statements:
            connection.execute(statement)


def sessions(pipeline: Pipeline) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'totes-test'"
    return int(pipeline.postgres.execute(query)[0][0])


def test_session_has_its_limits_and_formats(connect: Connects) -> None:
    with connect(TOTESYS) as connection:
        found = {name: connection.execute(f"SHOW {name}").scalar() for name in TOTESYS.session}
    assert found == TOTESYS.session | {
        "TimeZone": "UTC",
        "lock_timeout": "20s",
        "statement_timeout": "4min",
        "idle_in_transaction_session_timeout": "4min",
    }
    assert TOTESYS.session.items() > SESSION.items()


def test_connection_is_one_and_closed_at_the_end(pipeline: Pipeline, connect: Connects) -> None:
    with connect(TOTESYS) as connection:
        execute(connection, "SELECT 1")
        assert sessions(pipeline) == 1
    with pytest.raises(ZeroDivisionError), connect(TOTESYS):
        raise ZeroDivisionError
    give_up = time.monotonic() + 10
    while sessions(pipeline) and time.monotonic() < give_up:
        time.sleep(0.01)  # a backend ends a moment after its client has said good-bye
    assert sessions(pipeline) == 0


def test_wrong_password_is_refused_without_showing_it(reader: Credentials) -> None:
    with (
        pytest.raises(
            SourceUnreachable, match=r"totesys refuses: password authentication failed for user .*28P01"
        ) as caught,
        connected(TOTESYS, replace(reader, password="hunter2"), "totes-test"),
    ):
        pytest.fail("connected")
    # These are worth another attempt: the next one reads the secret again.
    assert str(caught.value).endswith("If it lasts, put the right username and password into the secret.")
    assert "hunter2" not in str(caught.value)


@contextlib.contextmanager
def refusing_server(folder: Path, refusal: bytes) -> Iterator[None]:
    """Runs a server that refuses each connection and closes it at once."""

    def refuse(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1024)  # StartupMessage
            connection.shutdown(socket.SHUT_RD)
            connection.sendall(b"E" + (len(refusal) + 4).to_bytes(4, "big") + refusal)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / ".s.PGSQL.5432"))
        server.listen()
        thread = threading.Thread(target=refuse, args=(server,))
        thread.start()
        yield
        thread.join()


def test_refusal_is_heard_though_the_server_has_gone(reader: Credentials, tmp_path: Path) -> None:
    """This also happens with a real server, if the client is a little late."""
    with (
        refusing_server(tmp_path, b"SFATAL\0C28P01\0Mno such user\0\0"),
        pytest.raises(SourceUnreachable, match="totesys refuses: no such user; SQLSTATE 28P01"),
        connected(TOTESYS, replace(reader, host=str(tmp_path)), "totes-test"),
    ):
        pytest.fail("connected")


def test_server_that_is_not_up_yet_is_transient(reader: Credentials, tmp_path: Path) -> None:
    with (
        refusing_server(tmp_path, b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"),
        pytest.raises(SourceUnreachable, match="closed the connection: the database system is starting up; SQLSTATE"),
        connected(TOTESYS, replace(reader, host=str(tmp_path)), "totes-test"),
    ):
        pytest.fail("connected")


LIMIT = "raise the limit that the message names"
LEAST_TIME = "Nothing to do unless it lasts: then "
POOLER = "The pooler before totesys refuses: "


@pytest.mark.parametrize(
    ("state", "message", "kind", "said", "remedy"),
    [
        ("08006", "connection failure", SourceUnreachable, "closed the connection", LEAST_TIME),
        ("57P01", "terminating connection due to administrator command", SourceUnreachable, "closed", LEAST_TIME),
        ("57P03", "the database system is starting up", SourceUnreachable, "closed the connection", LEAST_TIME),
        ("57P04", "terminating connection because of a database drop", SourceUnreachable, "closed", LEAST_TIME),
        ("57014", "canceling statement due to statement timeout", SourceBusy, "not do it now", "long transactions"),
        ("28000", 'role "eve" does not exist', AccessDenied, "totesys refuses: role", "in the secret (username"),
        ("28000", "no pg_hba.conf entry for host, no encryption", AccessDenied, "refuses", "pg_hba.conf)"),
        ("28P01", "password authentication failed", SourceUnreachable, "totesys refuses: ", "being rotated"),
        ("3D000", 'database "x" does not exist', AccessDenied, "totesys refuses: ", "right dbname into the secret"),
        ("42501", "must be owner of table t", AccessDenied, "totesys refuses: ", "the right that the message names"),
        ("53100", "could not extend file", SourceBusy, "not do it now", "give the server more disk space"),
        ("53200", "out of memory", SourceBusy, "not do it now", "give the server more"),
        ("53300", "sorry, too many clients already", SourceBusy, "not do it now", "end sessions that nobody needs"),
        ("53400", "temporary file size exceeds temp_file_limit", SourceBusy, "not do it now", LIMIT),
        ("25006", "read-only transaction", SourceBusy, "not do it now", "is a standby"),
        ("40001", "could not serialize access", SourceBusy, "not do it now", "long transactions"),
        ("XX000", "cache lookup failed", DatabaseFailed, "refuses in a way that totes does not know", "Read the"),
        # Errors that poolers pass on unchanged, and refusals of their own.
        ("08P01", "no more connections allowed (max_client_conn)", SourceUnreachable, "closed", "connections left"),
        ("08P01", "query_wait_timeout", SourceUnreachable, "closed the connection", "a pooler before it"),
        ("08P01", "server login has been failing, try again later", SourceUnreachable, "closed", LEAST_TIME),
        ("08P01", "invalid message format", SourceUnreachable, "closed the connection", LEAST_TIME),
        ("08P01", "SASL authentication failed", SourceUnreachable, "totesys refuses: ", "being rotated"),
        ("08P01", "unsupported startup parameter: geqo", AccessDenied, POOLER, "the pooler's configuration"),
        ("08P01", "Unsupported startup parameter: geqo", AccessDenied, POOLER, "Or put the database's own host"),
        ("08P01", "no such database: totesys", AccessDenied, POOLER, "dbname"),
        ("08P01", "no such user: reader", AccessDenied, POOLER, "username"),
        ("08P01", "SSL required", AccessDenied, POOLER, "the pooler's configuration"),
        ("08P01", "bouncer config error", AccessDenied, POOLER, "the pooler's configuration"),
        ("08P01", '"trust" authentication failed', AccessDenied, POOLER, "the pooler's configuration"),
        ("58000", 'No pool configured for database: "a", user: "b"', AccessDenied, POOLER, "username"),
        ("58000", "could not get connection from the pool", DatabaseFailed, "refuses in a way", "Read the message"),
        ("XX000", "Tenant or user not found", AccessDenied, POOLER, "username"),
        ("0A000", "RDS Proxy currently doesn't support command-line options", AccessDenied, POOLER, "configuration"),
    ],
)
def test_each_refusal_has_its_group_and_its_remedy(
    tmp_path: Path, state: str, message: str, kind: type[TotesError], said: str, remedy: str
) -> None:
    refusal = f"SFATAL\0C{state}\0M{message}\0\0".encode()
    with (
        refusing_server(tmp_path, refusal),
        pytest.raises(TotesError) as caught,
        connected(TOTESYS, Credentials(str(tmp_path), "totesys", "reader", "hunter2"), "totes-test"),
    ):
        pytest.fail("connected")
    assert type(caught.value) is kind
    assert said in caught.value.found
    assert f"{message}; SQLSTATE {state}." in caught.value.found
    assert remedy in caught.value.remedy


PASSWORDS = {
    "emoji": "p\N{GRINNING FACE}w",
    "a control character": "bell\x07é",
    "a control character in ASCII": "bell\x07",
    "a soft hyphen": "pass\N{SOFT HYPHEN}wörd",
    "a space that does not break": "two\N{NO-BREAK SPACE}words",
    "a space without width": "two\N{ZERO WIDTH SPACE}words",
    "nothing but what is left out": "\N{SOFT HYPHEN}",
    "a code point that is not assigned": "\u0378",
    "one that Unicode 3.2 lacks": "\u0242",
    "private use": "\ue000",
    "no character": "\ufdd0",
    "both directions": "a\N{HEBREW LETTER ALEF}",
    "a ligature": "\N{LATIN SMALL LIGATURE FI}x",
    "a long one": "ä" * 500,
}


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
def test_password_works_whatever_it_holds(pipeline: Pipeline, reader: Credentials, password: str) -> None:
    """The server derives its secret from the same text, as it does for a password from psql."""
    pipeline.postgres.execute(f"CREATE ROLE strange LOGIN PASSWORD '{password}'")
    try:
        with connected(TOTESYS, replace(reader, username="strange", password=password), "totes-test") as connection:
            assert connection.execute("SELECT current_user").scalar() == "strange"
        with (
            pytest.raises(SourceUnreachable, match="28P01"),
            connected(TOTESYS, replace(reader, username="strange", password=f"{password}x"), "totes-test"),
        ):
            pytest.fail("connected")
    finally:
        pipeline.postgres.execute("DROP ROLE strange")


def test_name_works_that_saslprep_forbids(pipeline: Pipeline, reader: Credentials) -> None:
    pipeline.postgres.execute("CREATE ROLE \"r\N{GRINNING FACE}\" LOGIN PASSWORD 'simple'")
    try:
        given = replace(reader, username="r\N{GRINNING FACE}", password="simple")
        with connected(TOTESYS, given, "totes-test") as connection:
            assert connection.execute("SELECT 1").scalar() == 1
    finally:
        pipeline.postgres.execute('DROP ROLE "r\N{GRINNING FACE}"')


def test_server_that_cannot_prove_itself_is_unreachable(tmp_path: Path) -> None:
    """A SCRAM exchange fails on our side: scramp raises its own errors, not the driver's."""

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1024)  # StartupMessage
            mechanisms = b"\0\0\0\x0aSCRAM-SHA-1024\0\0"
            connection.sendall(b"R" + (len(mechanisms) + 4).to_bytes(4, "big") + mechanisms)
            connection.recv(1024)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / ".s.PGSQL.5432"))
        server.listen()
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        with (
            pytest.raises(SourceUnreachable, match="No connection to totesys: SCRAM failed: "),
            connected(TOTESYS, Credentials(str(tmp_path), "totesys", "reader", "hunter2"), "totes-test"),
        ):
            pytest.fail("connected")
        thread.join()


def test_unknown_database_is_refused(reader: Credentials) -> None:
    with (
        pytest.raises(AccessDenied, match='database "nowhere" does not exist; SQLSTATE 3D000'),
        connected(TOTESYS, replace(reader, dbname="nowhere"), "totes-test"),
    ):
        pytest.fail("connected")


def test_revoked_grant_is_refused_with_the_table(pipeline: Pipeline, connect: Connects) -> None:
    pipeline.totesys(f"REVOKE SELECT ON staff FROM {READER}")
    with (
        pytest.raises(AccessDenied, match="totesys refuses: permission denied for table staff; SQLSTATE 42501"),
        connect(TOTESYS) as connection,
    ):
        execute(connection, "SELECT * FROM staff")


@pytest.mark.parametrize("database", [TOTESYS, WAREHOUSE], ids=lambda database: database.name)
def test_locked_table_is_busy_after_the_limit(pipeline: Pipeline, connect: Connects, database: Database) -> None:
    name = pipeline.source if database is TOTESYS else pipeline.warehouse
    pipeline.postgres.execute("CREATE TABLE shelf (id integer)", name)
    pipeline.postgres.execute("GRANT SELECT ON shelf TO PUBLIC", name)
    with pipeline.connection(name) as other:
        other.cursor().execute("LOCK TABLE shelf")
        with (
            pytest.raises(database.busy, match=f"{database.name} could not do it now: .*lock timeout; SQLSTATE 55P03"),
            connect(database) as connection,
        ):
            execute(connection, "SET LOCAL lock_timeout = '50ms'", "SELECT * FROM shelf")


def test_statement_that_takes_too_long_is_busy(connect: Connects) -> None:
    with pytest.raises(SourceBusy, match=r"statement timeout; SQLSTATE 57014. Nothing to do"), connect(TOTESYS) as made:
        execute(made, "SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(10)")


def test_read_only_warehouse_is_busy(connect: Connects) -> None:
    with pytest.raises(WarehouseBusy, match="read-only transaction; SQLSTATE 25006"), connect(WAREHOUSE) as made:
        execute(made, "SET LOCAL transaction_read_only = on", "CREATE TABLE public.t (id integer)")


def test_serialization_failure_is_busy(pipeline: Pipeline, connect: Connects) -> None:
    pipeline.star("CREATE TABLE public.t AS SELECT 1 AS id")
    pipeline.star(f"GRANT ALL ON public.t TO {LOADER}")

    def overtaken() -> None:
        with connect(WAREHOUSE) as connection, connection.begin():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SELECT * FROM t")
            pipeline.star("UPDATE public.t SET id = 2")
            connection.execute("UPDATE t SET id = 3")

    with pytest.raises(WarehouseBusy, match="SQLSTATE 40001"):
        overtaken()


@pytest.mark.parametrize(
    ("database", "kind"),
    [(TOTESYS, SourceUnreachable), (WAREHOUSE, WarehouseUnreachable)],
    ids=lambda given: str(given),
)
def test_killed_backend_is_unreachable(
    pipeline: Pipeline, connect: Connects, database: Database, kind: type[Exception]
) -> None:
    def killed() -> None:
        with connect(database) as connection:
            pid = connection.execute("SELECT pg_backend_pid()").scalar()
            pipeline.postgres.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
            connection.execute("SELECT 1")

    with pytest.raises(kind, match=database.name):
        killed()


def test_value_that_a_constraint_refuses_is_named(pipeline: Pipeline, connect: Connects) -> None:
    pipeline.star("CREATE TABLE public.parent (id integer PRIMARY KEY)")
    pipeline.star("CREATE TABLE public.child (id integer REFERENCES public.parent)")
    pipeline.star(f"GRANT ALL ON public.child TO {LOADER}")
    with pytest.raises(ContractViolation) as caught, connect(WAREHOUSE) as connection:
        execute(connection, "INSERT INTO child VALUES (7)")
    assert str(caught.value) == (
        'the warehouse does not accept a value: insert or update on table "child" violates foreign key constraint '
        '"child_id_fkey"; Key (id)=(7) is not present in table "parent"; SQLSTATE 23503; table child. '
        "Correct what the message names; the next execution tries again."
    )


@pytest.mark.parametrize("statement", ["SELECT * FROM nowhere", "SELECT 1 +", "SELECT nothing(1)"])
def test_any_other_failure_is_terminal(connect: Connects, statement: str) -> None:
    with pytest.raises(DatabaseFailed, match=r"totesys refuses in a way that .*SQLSTATE 42"), connect(TOTESYS) as made:
        execute(made, statement)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "127.0.0.1", "port": 1},
        {"host": "nowhere.invalid"},
        {"host": "/nowhere"},
        {"port": 1},
    ],
    ids=str,
)
def test_server_that_cannot_be_reached_is_transient(reader: Credentials, changes: dict[str, object]) -> None:
    with (
        pytest.raises(
            SourceUnreachable, match=r"No connection to totesys: .* Nothing to do unless it lasts: then check"
        ),
        connected(TOTESYS, replace(reader, **changes), "totes-test"),
    ):
        pytest.fail("connected")


def test_full_disk_of_the_function_is_not_the_databases_fault(connect: Connects) -> None:
    # The device refuses written text as soon as it leaves the buffer.
    with (
        pytest.raises(OSError, match=os.strerror(errno.ENOSPC)),
        connect(TOTESYS),
        Path("/dev/full").open("wb", buffering=0) as disk,
    ):
        disk.write(b"x")


def test_interrupted_copy_gives_the_connection_up(pipeline: Pipeline, connect: Connects) -> None:
    class Full(io.BytesIO):
        def writelines(self, _rows: object) -> None:
            raise ValueError("no more")

    with connect(TOTESYS) as connection:
        with pytest.raises(ValueError, match="no more"):
            connection.execute("COPY (SELECT generate_series(1, 9)) TO STDOUT", stream=Full())
        with pytest.raises(InterfaceError, match="connection is closed"):
            connection.execute("SELECT 1")


def test_copy_moves_bytes_both_ways(pipeline: Pipeline, connect: Connects) -> None:
    rows = io.BytesIO()
    with connect(WAREHOUSE) as connection, connection.begin():
        connection.execute("CREATE TEMPORARY TABLE t (a text)")
        copy_in(connection, "COPY t FROM STDIN (FORMAT csv)", iter([b'"one\n', b'line"\n', b'""\n\n']))
        connection.execute("COPY t TO STDOUT (FORMAT csv)", stream=rows)
    assert rows.getvalue() == b'"one\nline"\n""\n\n'


def test_rows_of_any_length_arrive_as_they_were_sent(pipeline: Pipeline, connect: Connects) -> None:
    """Rows of all lengths in one buffer: short ones, some as long as a buffer, and one above 16 MB."""
    taken = io.BytesIO()
    lengths = [*range(3_000), *([1] * 3_000), *range(8_180, 8_200), 65_530, *range(262_130, 262_150), 1 << 24, 0, 7]
    with connect(TOTESYS) as connection, connection.begin():
        connection.execute(
            "COPY (SELECT repeat(chr(97 + CAST(mod(at, 26) AS integer)), length) FROM "
            f"unnest(ARRAY{lengths}) WITH ORDINALITY AS row (length, at) ORDER BY at) TO STDOUT",
            stream=taken,
        )
        assert connection.execute("SELECT 1").scalar() == 1
    assert taken.getvalue() == b"".join(bytes([97 + at % 26]) * n + b"\n" for at, n in enumerate(lengths, start=1))


def test_copy_that_fails_in_its_midst_says_so(pipeline: Pipeline, connect: Connects) -> None:
    query = "SELECT 1 / (n - 50000) FROM generate_series(1, 99999) AS n"
    with pytest.raises(ContractViolation, match="division by zero"), connect(TOTESYS) as connection, connection.begin():
        connection.execute(f"COPY ({query}) TO STDOUT", stream=io.BytesIO())


def test_identifiers_are_quoted() -> None:
    assert quoted("public", 'sales"; DROP TABLE staff; --') == '"public"."sales""; DROP TABLE staff; --"'


REFUSAL = b"SFATAL\0C28P01\0Mno such user\0\0"
REFUSES = b"E" + (len(REFUSAL) + 4).to_bytes(4, "big") + REFUSAL


@pytest.mark.parametrize(
    ("sslmode", "answers"),
    [
        ("prefer", [b"N", REFUSES]),
        ("prefer", [b"N", REFUSES[:9]]),
        ("prefer", []),
        ("require", [b"S", b"not TLS"]),
        ("require", [b"E"]),
        ("prefer", None),
    ],
    ids=["refused", "cut short", "gone at once", "TLS that is none", "error", "silent"],
)
def test_failed_connection_closes_its_socket_at_once(
    monkeypatch: pytest.MonkeyPatch, sslmode: str, answers: list[bytes] | None
) -> None:
    """The error and its traceback still exist, so garbage collection has not closed the socket."""
    if answers is None:
        monkeypatch.setattr("totes.postgres.connection.STATEMENT_SECONDS", 0)
        monkeypatch.setattr("totes.postgres.connection.CONNECT_SECONDS", 1)
    with closing_server(answers) as (port, client_has_closed):
        credentials = Credentials("127.0.0.1", "totesys", "reader", "hunter2", port, sslmode)
        with pytest.raises(SourceUnreachable) as caught, connected(TOTESYS, credentials, "totes-test"):
            pytest.fail("connected")
        assert client_has_closed.wait(5)
        del caught


@contextlib.contextmanager
def closing_server(answers: list[bytes] | None) -> Iterator[tuple[int, threading.Event]]:
    """Runs a server that answers each message of one client and then ends its side; given None, it stays silent.

    Yields its port, and an event that is set when the client has closed the connection.
    """
    closed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            # A client that closes with unread input resets the connection. A shutdown then raises ENOTCONN, which is no
            # ConnectionError.
            with client, contextlib.suppress(OSError):
                for answer in answers or []:
                    client.recv(1024)
                    client.sendall(answer)
                if answers is not None:
                    client.shutdown(socket.SHUT_WR)
                while client.recv(1024):
                    pass
            closed.set()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], closed
        thread.join()


def test_close_of_a_lost_connection_closes_its_socket_at_once(pipeline: Pipeline, reader: Credentials) -> None:
    connection = connections.connect(TOTESYS, reader, "totes-test")
    client = connection._usock
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pipeline.postgres.execute(f"SELECT pg_terminate_backend({cursor.fetchone()[0]}, 5000)")
    with pytest.raises(InterfaceError) as caught:
        connection.close()
    assert client.fileno() == -1
    del caught
