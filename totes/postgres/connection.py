"""Connections to totesys and to the warehouse, and what their errors mean."""

import errno
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import pg8000.dbapi
import sqlalchemy
from pg8000.exceptions import InterfaceError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from totes.errors import (
    AccessRefused,
    ContractBroken,
    DatabaseFailed,
    SourceBusy,
    SourceUnreachable,
    TotesError,
    TransientError,
    WarehouseBusy,
    WarehouseUnreachable,
)
from totes.postgres.driver import PipelineConnection
from totes.postgres.session import READ_BACK, SESSION, STATEMENT_SECONDS, check_settings
from totes.postgres.statements import sql
from totes.postgres.tls import encrypted
from totes.runtime.secrets import Credentials, other_versions

CONNECT_SECONDS = 10
# A lock was not free in time.
LOCK_TIMEOUT = "55P03"
# A text has bytes or characters that the other encoding lacks.
UNCONVERTIBLE = ("22021", "22P05")
# Something else needs what was to be dropped.
DEPENDED_UPON = "2BP01"


@dataclass(frozen=True, eq=False)
class Database:
    """One of the two databases, with error classes of its own.

    Attributes:
        secret: what `totes secret` calls its credentials.
        session: the settings of each transaction.
    """

    name: str
    secret: str
    unreachable: type[TransientError]
    busy: type[TransientError]
    session: Mapping[str, str]


# A scan that starts at the first page and runs alone gives unchanged rows in the same order, and so the same bytes;
# it also leaves the source's other processes to the source's users.
_ORDERLY = {"synchronize_seqscans": "off", "max_parallel_workers_per_gather": "0", "jit": "off"}
TOTESYS = Database("totesys", "source", SourceUnreachable, SourceBusy, SESSION | _ORDERLY)
WAREHOUSE = Database("the warehouse", "warehouse", WarehouseUnreachable, WarehouseBusy, SESSION)


@contextmanager
def connected(database: Database, credentials: Credentials, application: str) -> Iterator[sqlalchemy.Connection]:
    """One connection, closed at the end; errors inside the block come out as errors of this project.

    No pool: a run uses one connection for a second every few minutes, and a connection that is not kept can neither
    go stale in a frozen Lambda nor occupy a slot of the server.
    """
    with database_errors(database), _login(database, credentials, application) as connection:
        try:
            yield connection
        except DBAPIError as error:
            if sqlstate(error) != LOCK_TIMEOUT:
                raise
            raise _translated(database, error.orig or error, _lock_holders(connection, error)) from error


def _login(database: Database, credentials: Credentials, application: str) -> sqlalchemy.Connection:
    """Connects; if the login is refused, tries what the secret holds since it was read, and what a rotation brings."""
    try:
        return make_engine(database, credentials, application).connect()
    except DBAPIError as error:
        if not _login_refused(error):
            raise
        for other in other_versions(credentials):
            with suppress(DBAPIError):
                return make_engine(database, other, application).connect()
        raise


@lru_cache(maxsize=4)
def make_engine(database: Database, credentials: Credentials, application: str) -> sqlalchemy.Engine:
    """A SQLAlchemy engine that opens a connection when asked and keeps none.

    It is kept itself: what it asks of the server when it first connects, it need not ask in a warm function again.
    """

    def connect() -> PipelineConnection:
        return PipelineConnection(
            settings=database.session,
            read_back=READ_BACK,
            check=partial(check_settings, database.name),
            user=credentials.username,
            password=credentials.password,
            database=credentials.dbname,
            host=credentials.host,
            # The socket is encrypted already, if it is to be.
            ssl_context=False,
            application_name=application,
            # For statements between transactions. Poolers refuse or drop nearly all other parameters.
            startup_params={"client_encoding": "UTF8"},
            # Opened last: from here on the connection closes it, whatever happens.
            sock=_socket(database, credentials),
        )

    return sqlalchemy.create_engine("postgresql+pg8000://", creator=connect, poolclass=NullPool)


def quoted(*names: str) -> str:
    """An SQL identifier, of one part or of several with dots between."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


@contextmanager
def database_errors(database: Database) -> Iterator[None]:
    """Turns the driver's errors into this project's, told apart by SQLSTATE: the driver's classes mislead."""
    try:
        yield
    except DBAPIError as error:
        raise _translated(database, error.orig or error) from error
    except (pg8000.dbapi.Error, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # the function's own disk is full
        raise _translated(database, error) from error


def sqlstate(error: BaseException | None) -> str:
    """The server's code for an error; empty where the server has not said anything."""
    return str(_fields(error.orig if isinstance(error, DBAPIError) else error).get("C", ""))


def server_message(error: BaseException) -> str:
    """Returns the server's message, with its code and the table that it names."""
    return _said(_fields(error))


def _socket(database: Database, credentials: Credentials) -> socket.socket:
    # A time-out of its own for connecting, and a longer one for reading so that the server's limits speak first.
    if credentials.is_socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(str(Path(credentials.host) / f".s.PGSQL.{credentials.port}"))
        except OSError as error:
            connection.close()
            if isinstance(error, FileNotFoundError):
                # A server that stops takes its socket with it, where over TCP a connection would be refused.
                raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused") from None
            raise
    else:
        connection = socket.create_connection((credentials.host, credentials.port), CONNECT_SECONDS)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.settimeout(STATEMENT_SECONDS + CONNECT_SECONDS)
    try:
        return encrypted(connection, credentials, database.name, database.secret)
    except BaseException:
        connection.close()
        raise


def _lock_holders(connection: sqlalchemy.Connection, refused: DBAPIError) -> str:
    """Returns the sessions for which we may have waited: another execution's, or somebody else's.

    Our own wait is over by now. So the refused statement and the server's message show which tables we wanted, and
    what for.
    """
    wanted = f"{refused.statement} {_fields(refused.orig).get('W', '')}"
    with suppress(DBAPIError):
        connection.rollback()
        query = sqlalchemy.text(sql("postgres", "lock_holders"))
        return "; ".join(map(_described, connection.execute(query, {"wanted": wanted})))
    return ""


def _described(holder: "sqlalchemy.Row[Any]") -> str:
    # Its state is hidden from a role that is no member of pg_read_all_stats.
    state = f", {holder.state} since {holder.since}" if holder.state else ""
    return f"{holder.holder} ({holder.user_name}, {holder.application or 'no application name'}){state}"


_UNLESS = "Nothing to do unless it lasts: then"
# PostgreSQL raises it because `row_security` is off; a grant would not help.
_WOULD_HIDE_ROWS = "check_enable_rls"
_Kind = Literal["unreachable", "busy"] | type[TotesError]


@dataclass(frozen=True)
class _Meaning:
    """The class, the words and the remedy of all errors whose SQLSTATE begins in the same way."""

    kind: _Kind
    said: str
    remedy: str


_ROTATED = _Meaning(
    "unreachable",
    "{name} refuses: {said}.",
    "Nothing to do while the password is being rotated: each attempt reads the secret again. If it lasts, put the "
    "right username and password into the secret.",
)
_POOLER = _Meaning(
    AccessRefused,
    "The pooler before {name} refuses: {said}.",
    "Correct what the message names, in the pooler's configuration or in the secret's host, port, dbname and "
    "username. Or put the database's own host and port into the secret.",
)
_UNREACHABLE = _Meaning(
    "unreachable",
    "{name} closed the connection: {said}.",
    f"{_UNLESS} see whether the server runs, and whether a pooler before it has connections left.",
)


def _busy(then: str) -> _Meaning:
    return _Meaning("busy", "{name} could not do it now: {said}.", f"{_UNLESS} {then}")


_LONG = _busy("look for long transactions and locks in pg_stat_activity.")
_MEANINGS = {
    "08": _UNREACHABLE,
    "57P": _UNREACHABLE,
    # A refused password may be one that is being rotated.
    "28P01": _ROTATED,
    "28": _Meaning(
        AccessRefused,
        "{name} refuses: {said}.",
        "Correct what the message names: in the secret (username, dbname, sslmode), or on the server (the role, "
        "pg_hba.conf).",
    ),
    "3D": _Meaning(
        AccessRefused,
        "{name} refuses: {said}.",
        "Put the right dbname into the secret, or create the database.",
    ),
    "42501": _Meaning(
        AccessRefused,
        "{name} refuses: {said}.",
        "Grant the right that the message names to the secret's user.",
    ),
    "40": _LONG,
    "53": _busy("raise the limit that the message names."),
    "53100": _busy("give the server more disk space."),
    "53200": _busy("end sessions that take much memory, or give the server more."),
    "53300": _busy("end sessions that nobody needs, or raise the limit of the server, the role or the database."),
    LOCK_TIMEOUT: _LONG,
    "57014": _LONG,
    "25P": _LONG,
    "25006": _busy(
        "see whether the host in the secret is a standby, or somebody has set default_transaction_read_only."
    ),
    **dict.fromkeys(
        ("22", "23"),
        _Meaning(
            ContractBroken,
            "{name} does not accept a value: {said}.",
            "Correct what the message names; the next execution tries again.",
        ),
    ),
    "": _Meaning(
        DatabaseFailed,
        "{name} refuses in a way that totes does not know: {said}.",
        "Read the message, and correct what it names; the next execution tries again.",
    ),
}
# Poolers use one code for refusals that pass, such as a lack of connections, and for those that don't: PgBouncer 08P01,
# pgcat 58000, Supavisor XX000, RDS Proxy 0A000.
_OF_POOLERS = ("08P01", "58000", "XX000", "0A000")
_POOLER_REFUSES = re.compile(
    r"unsupported startup parameter|no such (database|user)|no pool configured|(tenant|user) not found"
    r"|no credentials for the role|doesn't support|(SSL|TLS) (connection |client certificate )?required"
    r"|login rejected|bouncer config error|name too long|password too long|no username supplied"
    r"|unix socket login rejected|trust\W authentication failed|certificate authentication failed",
    re.IGNORECASE,
)
_POOLER_REFUSES_PASSWORD = re.compile(r"auth failed|(SASL|password) authentication failed", re.IGNORECASE)


def _translated(database: Database, error: BaseException, holders: str = "") -> TotesError:
    fields = _fields(error)
    state = str(fields.get("C", ""))
    if not state and isinstance(error, OSError | InterfaceError):
        return database.unreachable(
            f"No connection to {database.name}: {getattr(error, 'strerror', None) or error}.",
            f"{_UNLESS} check that the server runs and that its host, port and sslmode in the secret are right.",
        )
    said = _said(fields) if state else str(error)
    if holders:
        return database.busy(
            f"{database.name} could not do it now: {said}; locks are held by {holders}.",
            f"{_UNLESS} ask these users to commit or roll back, or end their sessions by pg_terminate_backend and "
            "prepared transactions by ROLLBACK PREPARED.",
        )
    if fields.get("R") == _WOULD_HIDE_ROWS:
        return AccessRefused(
            f"Row-level security of {database.name} may hide rows: {said}.",
            "ALTER ROLE … BYPASSRLS for the user that the secret names. A policy that shows it all rows is not "
            "enough, because totes can't see whether a policy does.",
        )
    meaning = _meaning(state, fields.get("M", ""))
    kind = getattr(database, meaning.kind) if isinstance(meaning.kind, str) else meaning.kind
    found: TotesError = kind(meaning.said.format(name=database.name, said=said), meaning.remedy)
    return found


def _login_refused(error: DBAPIError) -> bool:
    fields = _fields(error.orig)
    state = str(fields.get("C", ""))
    return state.startswith("28") or _meaning(state, fields.get("M", "")) is _ROTATED


def _meaning(state: str, message: str) -> _Meaning:
    if state in _OF_POOLERS:
        if _POOLER_REFUSES.search(message):
            return _POOLER
        if _POOLER_REFUSES_PASSWORD.search(message):
            return _ROTATED
    return next(_MEANINGS[state[:length]] for length in range(len(state), -1, -1) if state[:length] in _MEANINGS)


def _fields(error: BaseException | None) -> Mapping[str, str]:
    """What the server said, by the letters of its protocol.

    The driver flushes a connection before it closes it. Where the server has refused and gone, that fails as well, and
    the new error hides the refusal behind it.
    """
    while error is not None:
        if error.args and isinstance(error.args[0], dict):
            return error.args[0]
        error = error.__cause__ or error.__context__
    return {}


def _said(fields: Mapping[str, str]) -> str:
    parts = [fields.get("M", ""), fields.get("D", ""), f"SQLSTATE {fields['C']}"]
    if table := fields.get("t"):
        parts.append(f"table {table}")
    return "; ".join(part.rstrip(".") for part in parts if part)
