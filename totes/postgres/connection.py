"""Connections to totesys and to the warehouse."""

import errno
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pg8000.dbapi

from totes.errors import (
    SourceBusy,
    SourceUnreachable,
    TransientError,
    WarehouseBusy,
    WarehouseUnreachable,
)
from totes.postgres.driver import PipelineConnection
from totes.postgres.server_errors import LOCK_TIMEOUT, database_errors, lock_error, login_refused, sqlstate
from totes.postgres.session import READ_BACK, SESSION, STATEMENT_SECONDS, check_settings
from totes.postgres.tls import encrypted
from totes.runtime.secrets import Credentials, other_versions

CONNECT_SECONDS = 10


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
def connected(database: Database, credentials: Credentials, application: str) -> Iterator[PipelineConnection]:
    """One connection, closed at the end; errors inside the block come out as errors of this project.

    No pool: a run uses one connection for a second every few minutes, and a connection that is not kept can neither
    go stale in a frozen Lambda nor occupy a slot of the server.
    """
    with database_errors(database):
        connection = _login(database, credentials, application)
        try:
            yield connection
        except pg8000.dbapi.DatabaseError as error:
            if sqlstate(error) != LOCK_TIMEOUT:
                raise
            raise lock_error(database, connection, error) from error
        finally:
            # It may be lost, or closed already.
            with suppress(pg8000.dbapi.Error, OSError):
                connection.close()


def _login(database: Database, credentials: Credentials, application: str) -> PipelineConnection:
    """Connects; if the login is refused, tries what the secret holds since it was read, and what a rotation brings."""
    try:
        return connect(database, credentials, application)
    except pg8000.dbapi.Error as error:
        if not login_refused(error):
            raise
        for other in other_versions(credentials):
            with suppress(pg8000.dbapi.Error):
                return connect(database, other, application)
        raise


def connect(database: Database, credentials: Credentials, application: str) -> PipelineConnection:
    """Opens a connection.

    Raises:
        AccessDenied: see totes.postgres.tls.
        pg8000.dbapi.Error, OSError: the server refused, or can't be reached.
    """
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


def quoted(*names: str) -> str:
    """An SQL identifier, of one part or of several with dots between."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


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
