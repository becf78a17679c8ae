"""Makes PostgreSQL clusters for one test: they crash, are copied and restored, lag behind a primary and are promoted.

A cluster keeps its data in a folder that the test names, so the data survive a stop and a crash. A commit waits until
its WAL is written, as in production. Nothing waits for the disk: written WAL survives a killed process.

    primary = template.copy_to(tmp_path / "primary")
    with primary:
        primary.crash_backend()
"""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pg8000.dbapi
import psutil
from pg8000.native import identifier, literal

from local.business.seed import seed
from local.business.trading import MEASURED_UNTIL
from local.postgres.databases import SOURCE, create_databases
from local.postgres.server import BUILTIN_LOCALE, INITDB, Postgres
from tests.support.memory import memory

PATIENCE = 30
STANDBY_SIGNAL = "standby.signal"
# PostgreSQL keeps a transaction's status in two bits, so a file of pg_xact has the status of 2^20 ids.
IDS_PER_FILE = 1 << 20
FILE_BYTES = 1 << 18
# Ids can be compared if they are fewer than 2^31 apart, so a longer distance takes several steps.
STEP = 3 << 29
# Small WAL files make small copies.
FRUGAL = ("--wal-segsize", "1")
DEBIANS = Path("/usr/lib/postgresql")


@contextlib.contextmanager
def folder_for_clusters() -> Iterator[Path]:
    """Yields a folder that every server's user may enter, unlike pytest's, and deletes it."""
    folder = Path(tempfile.mkdtemp(prefix="totes-clusters-", dir=memory()))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def oldest_installed() -> Path | None:
    """Returns the programs' folder of the oldest PostgreSQL that Debian or Ubuntu has installed, or None."""
    found = {int(path.parent.name): path for path in DEBIANS.glob("*/bin") if (path / "initdb").exists()}
    return found[min(found)] if found else None


class Cluster(Postgres):
    """A server with a production server's settings. Its data remain when it is stopped.

    Args:
        data: the data folder.
        settings: server settings other than the defaults, by name.
        programs: the folder of another PostgreSQL's `initdb` and `postgres`; None means the wheel's.
    """

    def __init__(self, data: Path, settings: Mapping[str, str] | None = None, programs: Path | None = None) -> None:
        self.settings = {"fsync": "off"} | dict(settings or {})
        super().__init__(data, self.settings, memory())
        self.data = data
        self.programs = programs
        # Only PostgreSQL 17 and later have a builtin locale.
        self.initdb_options = (*INITDB, *([] if programs else BUILTIN_LOCALE), *FRUGAL)

    def __exit__(self, *_error: object) -> None:
        """Kills the server. A clean stop would hang if one of its processes is suspended."""
        if self._supervisor is not None:
            self.crash()

    @property
    def system(self) -> str:
        """Returns the cluster's system identifier."""
        ((system,),) = self.execute("SELECT CAST(system_identifier AS text) FROM pg_control_system()")
        return str(system)

    def restart(self) -> None:
        """Stops the server cleanly and starts it again, with its socket in another folder."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """Kills all the server's processes. Everything that is not in the WAL on disk is lost."""
        postmaster = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        postmaster.suspend()
        processes = [*postmaster.children(), postmaster]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, PATIENCE)
        self.stop()

    def crash_process(self, kind: str = "client backend") -> None:
        """Kills one process. The postmaster then ends all others and recovers from the WAL on disk."""
        other = self.connect()
        self.signal_process(signal.SIGKILL, kind)
        eventually(lambda: not _lives(other))
        with contextlib.suppress(pg8000.dbapi.Error):
            other.close()
        eventually(self._answers)

    def signal_process(self, number: signal.Signals, kind: str) -> None:
        """Sends a signal to one process of a kind, for instance `walwriter`."""
        pids = self.execute(f"SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}' ORDER BY backend_start")
        os.kill(pids[0][0], number)

    def copy_to(self, data: Path, **settings: str) -> "Cluster":
        """Returns a cold copy of the data folder, like a storage snapshot; this server must have stopped."""
        copy = Cluster(data, self.settings | settings, self.programs)
        copy._take(self.data)
        return copy

    def restore(self, copy: "Cluster") -> None:
        """Stops the server, replaces its data by a copy's, and starts it."""
        self.stop()
        shutil.rmtree(self.data)
        self._take(copy.data)
        self.start()

    def standby(self, data: Path, **settings: str) -> "Cluster":
        """Returns a standby of this server, not started yet."""
        made = Cluster(data, self.settings | settings, self.programs)
        data.mkdir(mode=0o700)
        made._hand_over(data)
        address = ("--host", self.host, "--port", str(self.port), "--username", self.superuser)
        options = ("--pgdata", made._reachable_name(data), "--checkpoint=fast", "--no-sync")
        made._run_program("pg_basebackup", *address, *options)
        made.follow(self)
        return made

    def follow(self, primary: "Cluster") -> None:
        """Makes this server, which must have stopped, a standby of another one."""
        host, user, port = primary.host, primary.superuser, primary.port
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = 'host={host} port={port} user={user}'\n")
        signal_file = self.data / STANDBY_SIGNAL
        signal_file.touch()
        self._hand_over(signal_file)

    def lag(self) -> None:
        """Pauses a standby's replay."""
        self.execute("SELECT pg_wal_replay_pause()")
        eventually(lambda: self.execute("SELECT pg_is_wal_replay_paused()") == ([True],))

    def catch_up(self, primary: "Cluster") -> None:
        """Resumes a standby's replay, and waits until it shows all that the primary has written."""
        ((target,),) = primary.execute("SELECT CAST(pg_current_wal_flush_lsn() AS text)")
        self.execute("SELECT pg_wal_replay_resume()")
        eventually(lambda: self.execute(f"SELECT pg_last_wal_replay_lsn() >= '{target}'") == ([True],))

    def promote(self) -> None:
        """Promotes a standby, and waits until it is the primary."""
        assert self.execute("SELECT pg_promote()") == ([True],)

    def give_ids_from(self, next_id: int) -> None:
        """Freezes all rows, and gives the next transaction one of the 2^32 ids. Restarts the server."""
        while (now := self._next_id()) < next_id:
            self._skip_to(min(next_id, now + STEP))

    def _next_id(self) -> int:
        ((now,),) = self.execute("SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)")
        return int(now)

    def _skip_to(self, next_id: int) -> None:
        for (database,) in self.execute("SELECT datname FROM pg_database WHERE datallowconn"):
            self.execute("VACUUM (FREEZE)", database)
        self.stop()
        self._run_program("pg_resetwal", "-x", str(next_id), self._reachable_name(self.data))
        file = self.data / "pg_xact" / f"{next_id // IDS_PER_FILE:04X}"
        file.write_bytes(bytes(FILE_BYTES))
        self._hand_over(file)
        self.start()

    def _take(self, source: Path) -> None:
        shutil.copytree(source, self.data, symlinks=True)
        for path in (self.data, *self.data.rglob("*")):
            self._hand_over(path)
        (self.data / "server.log").unlink(missing_ok=True)

    def _binaries(self, folder: Path) -> Path:
        return self.programs or super()._binaries(folder)

    def _write_access_rules(self, data: Path) -> None:
        super()._write_access_rules(data)
        # Only the server's user and root may enter the socket's folder.
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"local replication {self.superuser} trust\n")

    def _run_program(self, name: str, *arguments: str) -> None:
        folder = self._temporary_folder()
        try:
            self._run_tool([self._binaries(folder) / name, *arguments], self.data)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def add_databases(cluster: Cluster, passwords: Mapping[str, str]) -> None:
    """Adds to a new cluster a totesys with some hundred orders, an empty warehouse and the two roles."""
    create_databases(cluster)
    for role, password in passwords.items():
        cluster.execute(f"ALTER ROLE {identifier(role)} PASSWORD {literal(password)}")
    with contextlib.closing(cluster.connect(SOURCE)) as connection:
        seed(connection, until=MEASURED_UNTIL, scale=0.02)


def eventually(condition: Callable[[], bool]) -> None:
    """Waits until a condition is true."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"not so after {PATIENCE} s"
        time.sleep(0.02)


def _lives(connection: pg8000.dbapi.Connection) -> bool:
    try:
        connection.cursor().execute("SELECT 1")
        connection.rollback()
    except (pg8000.dbapi.Error, OSError):
        return False
    return True
