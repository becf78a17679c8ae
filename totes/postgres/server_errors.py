"""Turns a database's errors into this project's by SQLSTATE, because the driver's classes mislead."""

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pg8000.dbapi
from pg8000.exceptions import InterfaceError

from totes.errors import AccessDenied, ContractViolation, DatabaseFailed, TotesError
from totes.postgres.statements import sql

if TYPE_CHECKING:
    from totes.postgres.connection import Database
    from totes.postgres.driver import PipelineConnection

# A lock was not free in time.
LOCK_TIMEOUT = "55P03"
# A text has bytes or characters that the other encoding lacks.
UNCONVERTIBLE = ("22021", "22P05")
# Another object needs the one to drop.
DEPENDED_UPON = "2BP01"


@contextmanager
def database_errors(database: "Database") -> Iterator[None]:
    """Turns the driver's errors inside the block into this project's, by SQLSTATE."""
    try:
        yield
    except (pg8000.dbapi.Error, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # the function's own disk is full
        raise _translated(database, error) from error


def sqlstate(error: BaseException | None) -> str:
    """Returns the server's code for an error; empty if the error did not come from the server."""
    return str(_fields(error).get("C", ""))


def server_message(error: BaseException) -> str:
    """Returns the server's message, with its code and the table that it names."""
    return _said(_fields(error))


def lock_error(
    database: "Database", connection: "PipelineConnection", refused: pg8000.dbapi.DatabaseError
) -> TotesError:
    """Returns the error of a lock that was not free in time. It names the sessions that hold the lock."""
    return _translated(database, refused, _lock_holders(connection, refused))


def login_refused(error: pg8000.dbapi.Error) -> bool:
    """Returns whether the server refused the login, that is the role or its password."""
    fields = _fields(error)
    state = str(fields.get("C", ""))
    return state.startswith("28") or _meaning(state, fields.get("M", "")) is _ROTATED


def _lock_holders(connection: "PipelineConnection", refused: pg8000.dbapi.DatabaseError) -> str:
    """Returns the sessions for which we may have waited: another execution's, or somebody else's.

    Our own wait is over by now. So the query finds the tables, and the kind of lock, from the refused statement and the
    server's message.
    """
    wanted = f"{connection.statement} {_fields(refused).get('W', '')}"
    with suppress(pg8000.dbapi.Error):
        connection.rollback()
        return "; ".join(map(_described, connection.execute(sql("postgres", "lock_holders"), {"wanted": wanted})))
    return ""


def _described(holder: Any) -> str:
    # PostgreSQL hides a session's state from a role that is not a member of pg_read_all_stats.
    state = f", {holder.state} since {holder.since}" if holder.state else ""
    return f"{holder.holder} ({holder.user_name}, {holder.application or 'no application name'}){state}"


_UNLESS = "Nothing to do unless it lasts: then"
# PostgreSQL raises it from this function because `row_security` is off; a grant would not help.
_WOULD_HIDE_ROWS = "check_enable_rls"
_Kind = Literal["unreachable", "busy"] | type[TotesError]


@dataclass(frozen=True)
class _Meaning:
    """The class, the message and the remedy of all errors whose SQLSTATE begins in the same way."""

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
    AccessDenied,
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
    # A refused password may be in the middle of a rotation.
    "28P01": _ROTATED,
    "28": _Meaning(
        AccessDenied,
        "{name} refuses: {said}.",
        "Correct what the message names: in the secret (username, dbname, sslmode), or on the server (the role, "
        "pg_hba.conf).",
    ),
    "3D": _Meaning(
        AccessDenied,
        "{name} refuses: {said}.",
        "Put the right dbname into the secret, or create the database.",
    ),
    "42501": _Meaning(
        AccessDenied,
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
            ContractViolation,
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
# Poolers use the same code for transient refusals, such as a lack of connections, and for permanent ones: PgBouncer
# 08P01, pgcat 58000, Supavisor XX000, RDS Proxy 0A000.
_OF_POOLERS = ("08P01", "58000", "XX000", "0A000")
_POOLER_REFUSES = re.compile(
    r"unsupported startup parameter|no such (database|user)|no pool configured|(tenant|user) not found"
    r"|no credentials for the role|doesn't support|(SSL|TLS) (connection |client certificate )?required"
    r"|login rejected|bouncer config error|name too long|password too long|no username supplied"
    r"|unix socket login rejected|trust\W authentication failed|certificate authentication failed",
    re.IGNORECASE,
)
_POOLER_REFUSES_PASSWORD = re.compile(r"auth failed|(SASL|password) authentication failed", re.IGNORECASE)


def _translated(database: "Database", error: BaseException, holders: str = "") -> TotesError:
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
        return AccessDenied(
            f"Row-level security of {database.name} may hide rows: {said}.",
            "ALTER ROLE … BYPASSRLS for the user that the secret names. A policy that shows it all rows is not "
            "enough, because totes can't see whether a policy does.",
        )
    meaning = _meaning(state, fields.get("M", ""))
    kind = getattr(database, meaning.kind) if isinstance(meaning.kind, str) else meaning.kind
    found: TotesError = kind(meaning.said.format(name=database.name, said=said), meaning.remedy)
    return found


def _meaning(state: str, message: str) -> _Meaning:
    if state in _OF_POOLERS:
        if _POOLER_REFUSES.search(message):
            return _POOLER
        if _POOLER_REFUSES_PASSWORD.search(message):
            return _ROTATED
    return next(_MEANINGS[state[:length]] for length in range(len(state), -1, -1) if state[:length] in _MEANINGS)


def _fields(error: BaseException | None) -> Mapping[str, str]:
    """Returns the fields of the server's error message, by their letters in the protocol.

    The driver flushes a connection before it closes it. If the server has refused and closed the connection, the flush
    fails as well, and the refusal is the new error's cause or context.
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
