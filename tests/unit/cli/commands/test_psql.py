"""`totes psql`: the server that psql connects to, and the values that nobody can see."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli import main
from cli.commands import psql
from local.postgres.databases import SOURCE
from local.postgres.server import Postgres
from local.state import StackState, claimed_home, publish


@pytest.fixture
def home(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Returns the home of a stack that runs on the tests' server."""
    monkeypatch.setenv("TOTES_HOME", str(tmp_path / "home"))
    state = StackState("http://127.0.0.1:1", "eu-west-2", "1", postgres.host, postgres.port, postgres.superuser, "", 1)
    with ExitStack() as running:
        publish(state, running.enter_context(claimed_home(tmp_path / "home")))
        if SOURCE not in {name for (name,) in postgres.execute("SELECT datname FROM pg_database")}:
            postgres.execute(f"CREATE DATABASE {SOURCE}")
            running.callback(postgres.execute, f"DROP DATABASE {SOURCE} WITH (FORCE)")
        yield tmp_path / "home"


@pytest.mark.parametrize("after", [(), ("--",)], ids=["options at once", "options after --"])
def test_psql_asks_the_running_stack(home: Path, after: tuple[str, ...]) -> None:
    # Variables that would lead libpq to another server have no effect.
    misleading = {"PGHOSTADDR": "10.0.0.7", "PGPORT": "1", "PGPASSWORD": "hunter2", "PGOPTIONS": "-c nonsense=1"}
    query = "SELECT current_database(), current_user"
    done = subprocess.run(
        [sys.executable, "-m", "cli", "psql", "source", *after, "--no-psqlrc", "-At", "-c", query],
        env=os.environ | misleading,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "totesys|postgres\n", "")


def test_process_list_has_no_password(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psql, "_program", lambda: "/bin/psql")
    ran: list[list[str]] = []

    def replaced(path: str, arguments: list[str], environment: dict[str, str]) -> None:
        ran.append([path, *arguments])
        assert not any(name.startswith("PG") for name in environment)

    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setattr(os, "execve", replaced)
    assert main.main(["psql", "warehouse", "--", "-c", "SELECT 1"]) == 0
    ((path, *arguments),) = ran
    assert path == "/bin/psql"
    host, port = arguments[2], arguments[4]
    assert arguments == [
        *("psql", "--host", host, "--port", port, "--username", "postgres", "--dbname", "warehouse"),
        *("-c", "SELECT 1"),
    ]
    assert Path(host).is_dir()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("psql source", "No stack runs in "),
        ("--stage prod psql source", "Stage prod is on AWS; this command only opens the databases of `totes up`. "),
        ("psql", "Missing argument 'which'"),
        ("psql lake", "'lake' is not one of"),
        ("psql source -c nope", "No stack runs in "),
    ],
)
def test_what_cannot_be_opened_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    monkeypatch.setenv("TOTES_HOME", str(tmp_path))
    assert main.main(line.split()) == 2
    assert said in capsys.readouterr().err


def test_psql_of_the_path_serves_where_the_wheel_has_none(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("local.postgres.server.INSTALLATION", "nowhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main.main(["psql", "source"]) == 2
    assert "psql is not installed: install PostgreSQL's client" in capsys.readouterr().err
    (tmp_path / "psql").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "psql").chmod(0o755)
    assert psql._program() == str(tmp_path / "psql")
