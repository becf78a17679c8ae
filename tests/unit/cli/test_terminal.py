"""Compares the terminal output of failing commands with terminal.txt.

TOTES_WRITE_TERMINAL=1 writes the file again; read the changes before you commit it.
"""

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from cli import main as command_line
from cli.deployment import Target
from tests.unit.totes.postgres.test_connection import refusing_server
from totes.postgres.connection import TOTESYS, connected
from totes.runtime.names import Names
from totes.runtime.secrets import Credentials, parse_credentials
from totes.verify.reconcile.result import Keys, Reconciliation, TableDifferences

SEEN = Path(__file__).with_name("terminal.txt")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAMES = Names("prod", "123456789012", "eu-west-2")
WHOLE = {"host": "db.example.com", "dbname": "totesys", "username": "reader", "password": "hunter2"}


class Terminal:
    """Runs commands and records their output."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys = capsys
        self._folder = folder
        self._seen: list[str] = []

    def chapter(self, title: str) -> None:
        self._seen.append(f"\n# {title}\n")

    def run(self, line: str, shown: str = "") -> None:
        """Runs a command line; records it as `shown` if that is given."""
        self._capsys.readouterr()
        code = command_line.main(line.split())
        captured = self._capsys.readouterr()
        text = (captured.out + captured.err).rstrip().replace(str(self._folder), "<folder>")
        text = "\n".join(line.rstrip() for line in text.splitlines())
        text = re.sub(r"totes-\w{8}\.txt", "totes-<random>.txt", text)
        self._seen.append(f"$ totes {shown or line}\n{text}\n[{code}]\n")

    @property
    def text(self) -> str:
        return "\n".join(self._seen).lstrip()


class EmptyWarehouse:
    """A warehouse that has no rows for any question."""

    def execute(self, *_: object) -> "EmptyWarehouse":
        return self

    @property
    def columns(self) -> list[str]:
        return ["name"]

    def mappings(self) -> list[object]:
        return []

    def scalar(self, *_: object) -> datetime:
        return NOW

    def __iter__(self) -> Iterator[object]:
        return iter(())


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TOTES_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith(("AWS_", "TOTES_STAGE", "TOTES_PASSWORD"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield Terminal(capsys, tmp_path)
    boto3.DEFAULT_SESSION = None


def test_messages_are_as_they_were_read_last(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wrong_arguments(terminal)
    _no_way_to_aws(terminal, monkeypatch)
    _stack_of_another_release(terminal, tmp_path, monkeypatch)
    _passwords(terminal, monkeypatch)
    _secrets(terminal, monkeypatch)
    _refusals(terminal, tmp_path, monkeypatch)
    _no_rows(terminal, monkeypatch)
    _differences(terminal, monkeypatch)
    _bug(terminal, monkeypatch)
    if os.environ.get("TOTES_WRITE_TERMINAL"):
        SEEN.write_text(terminal.text, encoding="utf-8")
    assert terminal.text == SEEN.read_text(encoding="utf-8")
    assert "hunter2" not in terminal.text
    assert "Traceback" not in terminal.text


def _wrong_arguments(terminal: Terminal) -> None:
    terminal.chapter("Arguments")
    terminal.run("run --full-read stff")
    terminal.run("run --accept-deletions payment=many")
    terminal.run("query order_histroy")
    terminal.run("reconcile --table fact_sales")


def _no_way_to_aws(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.chapter("AWS")
    terminal.run("status")
    terminal.run("--stage prod status")
    terminal.run("--stage prod --region eu-west-2 status")
    terminal.run("--stage prod --region eu-west-2 --profile nobody status")
    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "hunter2")
        with mock_aws():
            terminal.run("--stage prdo --region eu-west-2 run")

        def expired(_client: object, operation: str, _given: object) -> None:
            said = {"Code": "ExpiredToken", "Message": "The security token included in the request is expired"}
            raise ClientError({"Error": said}, operation)  # type: ignore[typeddict-item]

        patch.setattr(botocore.client.BaseClient, "_make_api_call", expired)
        terminal.run("--stage prod --region eu-west-2 status")
    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "hunter2")
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        terminal.run("--stage prod --region eu-west-2 status")


def _stack_of_another_release(terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.chapter("The local stack")
    import fcntl

    (folder / "home").mkdir()
    with (folder / "home" / "stack.json").open("w+") as file:
        file.write("{")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        terminal.run("status")
    with monkeypatch.context() as patch:
        patch.setenv("TOTES_HOME", "/dev/null")
        terminal.run("status", "status   # with TOTES_HOME=/dev/null")


def _passwords(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.chapter("Asking for a password")
    monkeypatch.setattr(Target, "connect", lambda _: NAMES)

    class Asked(io.StringIO):
        def isatty(self) -> bool:
            return True

    def nothing(*_given: object, **_more: object) -> str:
        raise EOFError

    with monkeypatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", NAMES.region)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        held = json.dumps(WHOLE)
        boto3.client("secretsmanager").create_secret(Name=NAMES.source_secret, SecretString=held)
        patch.setattr("sys.stdin", Asked())
        patch.setattr("getpass.getpass", nothing)
        terminal.run("secret source", "secret source   # Ctrl-D")
        patch.setattr("sys.stdin", io.StringIO())
        terminal.run("secret source", "secret source < file")


def _secrets(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.chapter("Malformed secrets")
    faults: Mapping[str, dict[str, Any]] = {
        "a number as password": {"password": 12345},
        "a port in the host": {"host": "db.example.com:5432"},
        "a newline in the host": {"host": "db.example.com\n"},
        "a URL as host": {"host": "postgres://reader:hunter2@db.example.com/totesys"},
        "a word as port, and no user": {"port": "hunter2", "username": None},
    }
    for name, change in faults.items():
        text = json.dumps(WHOLE | change)
        with monkeypatch.context() as patch:
            patch.setattr(
                "cli.deployment.read_credentials",
                lambda secret, text=text: parse_credentials(secret, text),
            )
            terminal.run("history 42", f"history 42   # {name}")


def _refusals(terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.chapter("Refusals of a database, and of a pooler before it")
    for state, message in (
        ("28P01", 'password authentication failed for user "reader"'),
        ("28000", 'no pg_hba.conf entry for host "10.0.0.7", user "reader", database "totesys", no encryption'),
        ("3D000", 'database "totesy" does not exist'),
        ("53300", "sorry, too many clients already"),
        ("08P01", "no more connections allowed (max_client_conn)"),
        ("08P01", "unsupported startup parameter: client_encoding"),
        ("XX000", "Tenant or user not found"),
    ):

        def refuse(_target: object) -> Names:
            with connected(TOTESYS, Credentials(str(folder), "totesys", "reader", "hunter2"), "totes-test"):
                return NAMES

        with monkeypatch.context() as patch:
            patch.setattr(Target, "connect", refuse)
            with refusing_server(folder, f"SFATAL\0C{state}\0M{message}\0\0".encode()):
                terminal.run("reconcile", f"reconcile   # {state}")
        (folder / ".s.PGSQL.5432").unlink()


def _no_rows(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.chapter("Questions without an answer")

    @contextmanager
    def empty(_names: object) -> Iterator[EmptyWarehouse]:
        yield EmptyWarehouse()

    for module in ("query", "history"):
        monkeypatch.setattr(f"cli.commands.{module}.warehouse", empty)
    monkeypatch.setattr("cli.commands.history.read_versions", lambda *_: [])
    terminal.run("query orders_as_of -p moment=2001-01-01T00:00:00Z")
    terminal.run("query order_history -p order_id=999999")
    terminal.run("history 999999")


def _differences(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.chapter("A warehouse that differs from totesys")
    tables = [
        TableDifferences(
            "fact_payment",
            "payment",
            "payment_id",
            1_584,
            1_584,
            differing=Keys(1, [9]),
            columns={"payment_amount": 1},
        ),
        TableDifferences("dim_staff", "staff", "staff_id", 20, 19, missing=Keys(1, [7])),
    ]
    monkeypatch.setattr("cli.commands.reconcile.compare", lambda *_: Reconciliation(4, NOW, NOW, None, tables))
    terminal.run("reconcile")


def _bug(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.chapter("Unexpected errors")
    monkeypatch.setattr(Target, "connect", lambda _: {}["password=hunter2"])
    terminal.run("status")
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    terminal.run("status", "status   # on a full disk")
