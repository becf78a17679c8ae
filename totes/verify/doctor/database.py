"""Checks a database from inside a function: the secret, the connection, the server, and the user's rights."""

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from totes.errors import LakeUnavailable, TotesError
from totes.postgres.connection import TOTESYS, WAREHOUSE, Database, connected
from totes.postgres.driver import PipelineConnection
from totes.postgres.server_errors import database_errors
from totes.postgres.statements import sql
from totes.postgres.tls import expiry, weakness
from totes.runtime.secrets import Credentials, read_credentials
from totes.verify import declared
from totes.verify.doctor.findings import Finding, failed, guarded, of_error, ok, unknown, warning
from totes.verify.doctor.zones import NO_WAY
from totes.warehouse import schema
from totes.warehouse.warehouse import Warehouse

# See docs/deploy.md, "You need".
OLDEST = 130000
# A certificate that is renewed automatically is renewed before its last month.
SOON = timedelta(days=30)
# Synchronised clocks differ by less.
SKEW = timedelta(seconds=60)
# A backfill opens four connections at once, and an execution one.
ROOM = 5
_OPEN_THE_WAY = (
    "Check that the server runs, and that the secret's host and port are right. In a VPC, the server's security group "
    "must admit the functions' group on that port: docs/deploy.md#databases-in-a-vpc."
)
_CORRECT_HOST = (
    "Correct the host: `totes secret {secret} --host …`. If only your VPC knows the name, the functions must run in "
    "the VPC: docs/deploy.md#databases-in-a-vpc."
)
_OTHER_SERVER = "Name another server by `totes secret {secret}`, or upgrade this one."

OnConnection = Callable[[PipelineConnection], Iterable[Finding]]


def look_at_source(secret: str) -> Iterator[Finding]:
    """Checks totesys; `secret` names its credentials."""
    return _look(TOTESYS, secret, (_certificate, partial(_server, TOTESYS), _declared_of_source))


def look_at_warehouse(secret: str) -> Iterator[Finding]:
    """Checks the warehouse; `secret` names its credentials."""
    checks = (_certificate, partial(_server, WAREHOUSE), _version, _rights, _declared_of_warehouse)
    return _look(WAREHOUSE, secret, checks)


def _look(database: Database, secret: str, checks: Iterable[OnConnection]) -> Iterator[Finding]:
    try:
        credentials = read_credentials(secret)
        yield ok("secret", f"The secret of {database.name} can be read and is complete.")
        yield _mode(database, credentials)
        with connected(database, credentials, "totes-doctor") as connection:
            yield ok("login", f"{credentials.username} can log in to {database.name}.")
            for check in checks:
                yield from guarded(partial(_in_transaction, database, connection, check))
    except TotesError as error:
        yield of_error(error, _remedy(database, error))
        yield unknown("unseen", f"For this reason, {database.name} was not checked any further.")


def _remedy(database: Database, error: TotesError) -> str:
    """Returns a remedy of its own if nothing answered: a new stage may have no way there. Else it is empty."""
    if isinstance(error, LakeUnavailable):
        return NO_WAY
    if isinstance(error, database.unreachable) and isinstance(error.__cause__, OSError):
        unresolved = isinstance(error.__cause__, socket.gaierror)
        return (_CORRECT_HOST if unresolved else _OPEN_THE_WAY).format(secret=database.secret)
    return ""


def _in_transaction(database: Database, connection: PipelineConnection, check: OnConnection) -> Iterator[Finding]:
    """Yields the findings of a check, which runs in a read-only transaction of its own."""
    with database_errors(database), connection.begin():
        connection.execute("SET TRANSACTION READ ONLY")
        yield from check(connection)


def _mode(database: Database, credentials: Credentials) -> Finding:
    if weak := weakness(credentials):
        return warning("tls-weak", f"{weak}.", f"`totes secret {database.secret} --sslmode verify-full` is safe.")
    if credentials.is_local:
        return ok("tls", "The server is on this machine: nobody can listen on the way.")
    return ok("tls", f"The connection uses sslmode {credentials.tls}.")


def _certificate(connection: PipelineConnection) -> Iterator[Finding]:
    if connection.tls:
        yield judge_certificate(expiry(connection.tls.getpeercert(binary_form=True) or b""))


def judge_certificate(until: datetime) -> Finding:
    """Judges a server's certificate by the end of its validity."""
    if until - datetime.now(UTC) < SOON:
        return warning(
            "certificate-expires",
            f"The server's certificate expires on {until:%Y-%m-%d}.",
            "Renew it on the server before that day: after it, no execution can connect.",
        )
    return ok("certificate", f"The server's certificate is valid until {until:%Y-%m-%d}.")


def _server(database: Database, connection: PipelineConnection) -> Iterator[Finding]:
    before = datetime.now(UTC)
    found = connection.execute(sql("verify/doctor", "server")).one()
    after = datetime.now(UTC)
    skew = max(before - found.clock, found.clock - after, timedelta())
    return judge_server(
        database, Server(found.version, found.number, found.in_recovery, found.connections, found.room, skew)
    )


@dataclass(frozen=True)
class Server:
    """The state of a server.

    Attributes:
        number: its version as a number, 130000 for 13.0.
        in_recovery: whether it is a standby.
        connections: how many connections it takes in all.
        room: how many of them are free.
        skew: how much its clock differs from the function's.
    """

    version: str
    number: int
    in_recovery: bool
    connections: int
    room: int
    skew: timedelta


def judge_server(database: Database, server: Server) -> Iterator[Finding]:
    """Judges version, role, clock and connections."""
    if server.number < OLDEST:
        yield failed(
            "server-too-old",
            f"The server runs PostgreSQL {server.version}; the pipeline needs {OLDEST // 10000} or later.",
            _OTHER_SERVER.format(secret=database.secret),
        )
    else:
        yield ok("server", f"The server runs PostgreSQL {server.version}.")
    if server.in_recovery:
        yield _STANDBYS[database]
    if server.skew > SKEW:
        yield warning(
            "clock-skew",
            f"The clocks of the server and of Lambda differ by {server.skew.total_seconds():.0f} s.",
            "Correct the server's clock: the times in manifests and in the warehouse come from it.",
        )
    else:
        yield ok("clock", f"The server's clock is right to {max(server.skew.total_seconds(), 1):.0f} s.")
    if server.room < ROOM:
        yield warning(
            "connections-few",
            f"Only {max(server.room, 0)} of the server's {server.connections} connections are free.",
            "End sessions that nobody needs, or raise max_connections.",
        )
    else:
        yield ok("connections", f"{server.room} of the server's {server.connections} connections are free.")


_STANDBYS = {
    TOTESYS: warning(
        "source-standby",
        "totesys is a standby: the pipeline reads data that is as old as the standby's lag.",
        "Nothing, if that is intended. If not, name the primary's host by `totes secret source --host …`.",
    ),
    WAREHOUSE: failed(
        "warehouse-standby",
        "The warehouse is a standby, to which nobody can write.",
        "Name the primary's host by `totes secret warehouse --host …`.",
    ),
}


def _declared_of_source(connection: PipelineConnection) -> Iterator[Finding]:
    found = [*declared.source_refusals(connection)]
    yield from (of_error(refusal) for refusal in found)
    if not found:
        yield ok("tables", "Every declared table exists as declared, and may be read.")


def _version(connection: PipelineConnection) -> Iterator[Finding]:
    warehouse = Warehouse(connection)
    applied, latest = schema.applied_version(warehouse), schema.latest_version()
    schema.require_known(schema.read(warehouse), applied)
    if applied == latest:
        yield ok("schema", f"The warehouse's schema has version {applied}, which is this release's.")
    else:
        was = f"has version {applied}" if applied else "does not exist yet"
        yield ok("schema", f"The warehouse's schema {was}; the next Load migrates it to {latest}.")


def _rights(connection: PipelineConnection) -> Iterator[Finding]:
    warehouse = Warehouse(connection)
    found = [*declared.missing_rights(warehouse, schema.read(warehouse))]
    yield from (failed("right-missing", f"In the warehouse {each.found}.", each.remedy) for each in found)
    if not found:
        yield ok("rights", "Load's user has all the rights that it needs.")


def _declared_of_warehouse(connection: PipelineConnection) -> Iterator[Finding]:
    warehouse = Warehouse(connection)
    found = [*declared.differences(warehouse, schema.read(warehouse), schema.applied_version(warehouse))]
    for each in found:
        if each.stops:
            yield failed("differs", f"{each.found}.", each.remedy)
        else:
            yield warning("differs-slightly", f"{each.found}.", each.remedy)
    if not found:
        yield ok("declared", "The warehouse matches its declarations.")
