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
    """One of the two databases, with its own error classes.

    Attributes:
        secret: the name of its credentials in `totes secret`.
        session: the settings of each transaction.
    """

    name: str
    secret: str
    unreachable: type[TransientError]
    busy: type[TransientError]
    session: Mapping[str, str]


# A scan that starts at the first page and has no parallel workers gives unchanged rows in the same order, and so the
# same bytes. It also leaves the source's other processes to the source's users.
_ORDERLY = {"synchronize_seqscans": "off", "max_parallel_workers_per_gather": "0", "jit": "off"}
TOTESYS = Database("totesys", "source", SourceUnreachable, SourceBusy, SESSION | _ORDERLY)
WAREHOUSE = Database("the warehouse", "warehouse", WarehouseUnreachable, WarehouseBusy, SESSION)


@contextmanager
def connected(database: Database, credentials: Credentials, application: str) -> Iterator[PipelineConnection]:
    """Opens a connection for the block, and turns the block's database errors into this project's.

    There is no pool, because a run uses one connection for a second every few minutes. A connection that is not kept
    can't go stale in a frozen Lambda, and occupies no slot of the server.
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
            # The connection may be lost, or closed already.
            with suppress(pg8000.dbapi.Error, OSError):
                connection.close()


def _login(database: Database, credentials: Credentials, application: str) -> PipelineConnection:
    """Connects. If the server refuses the login, tries the secret's current and pending versions."""
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
        AccessDenied: the server offers no TLS although the mode insists on it, or its certificate is not accepted.
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
        # The socket is encrypted already, if the credentials ask for it.
        ssl_context=False,
        application_name=application,
        # For statements between transactions. Poolers refuse or drop nearly all other parameters.
        startup_params={"client_encoding": "UTF8"},
        # Opened last, because from here on the connection closes it, whatever happens.
        sock=_socket(database, credentials),
    )


def quoted(*names: str) -> str:
    """Returns a quoted SQL identifier, of one part or of several with dots between."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def _socket(database: Database, credentials: Credentials) -> socket.socket:
    # The time-out for reading is longer than the server's own limits, so that the server reports them first.
    if credentials.is_socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(str(Path(credentials.host) / f".s.PGSQL.{credentials.port}"))
        except OSError as error:
            connection.close()
            if isinstance(error, FileNotFoundError):
                # A server that stops removes its socket. Over TCP, the connection would be refused.
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
