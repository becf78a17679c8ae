"""`totes secret`: the values that it writes, those that stay, and those that nobody sees."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cli import main
from cli.deployment import Target
from tests.support.peers import Authority
from totes.runtime.names import Names

NAMES = Names("test", "123456789012", "eu-west-2")
GIVEN = ("--host", "db.example.com", "--dbname", "totesys", "--username", "totes_reader")


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Secrets Manager as a deployment leaves it: two secrets without a value."""
    monkeypatch.setattr(Target, "connect", lambda _: NAMES)
    monkeypatch.setenv("TOTES_PASSWORD", 'new "secret"\\')
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-2")
        for name in (NAMES.source_secret, NAMES.warehouse_secret):
            client.create_secret(Name=name)
        yield client


def value(manager: Any, name: str = NAMES.source_secret) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manager.get_secret_value(SecretId=name)["SecretString"])
    return found


def test_a_first_value_is_written_whole(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["secret", "source", *GIVEN]) == 0
    assert value(manager) == {
        "host": "db.example.com",
        "dbname": "totesys",
        "username": "totes_reader",
        "password": 'new "secret"\\',
    }
    said = capsys.readouterr()
    assert "totes_reader at db.example.com:5432, database totesys" in said.out
    assert "secret" not in (said.out + said.err).replace("totes/test/source", "").replace("secret is", "")


def test_a_rotation_changes_the_password_alone(manager: Any) -> None:
    before = {"host": "h", "port": 6432, "dbname": "d", "username": "u", "password": "old", "engine": "postgres"}
    manager.put_secret_value(SecretId=NAMES.warehouse_secret, SecretString=json.dumps(before))
    assert main.main(["secret", "warehouse"]) == 0
    assert value(manager, NAMES.warehouse_secret) == before | {"password": 'new "secret"\\'}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("source",), "host is missing; dbname is missing; username is missing"),
        (("source", *GIVEN, "--sslmode", "none"), "sslmode is none of"),
        (("sources",), "'sources' is not one of"),
    ],
)
def test_what_could_not_be_used_is_not_written(
    manager: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main.main(["secret", *arguments]) != 0
    assert said in capsys.readouterr().err
    with pytest.raises(manager.exceptions.ResourceNotFoundException):
        manager.get_secret_value(SecretId=NAMES.source_secret)


@pytest.mark.parametrize("held", ['["hunter2"]', "hunter2"])
def test_a_secret_that_is_no_object_is_left_alone(manager: Any, capsys: pytest.CaptureFixture[str], held: str) -> None:
    manager.put_secret_value(SecretId=NAMES.source_secret, SecretString=held)
    assert main.main(["secret", "source", *GIVEN]) == 2
    said = capsys.readouterr().err
    assert "is not a JSON object" in said
    assert "hunter2" not in said
    assert manager.get_secret_value(SecretId=NAMES.source_secret)["SecretString"] == held


def test_certificate_of_an_authority_is_written_and_taken_out_again(manager: Any, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(Authority().pem, encoding="utf-8")
    assert main.main(["secret", "source", *GIVEN, "--ca", str(file)]) == 0
    assert value(manager)["ca"] == file.read_text(encoding="utf-8")
    assert main.main(["secret", "source"]) == 0
    assert value(manager)["ca"] == file.read_text(encoding="utf-8")
    assert main.main(["secret", "source", "--ca", ""]) == 0
    assert "ca" not in value(manager)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"nonsense", "--ca holds no certificates as PEM"),
        (b"0\x82\x01\xff", "is not PEM: `openssl x509 -inform der -in"),
        (None, "No such file"),
    ],
)
def test_file_without_certificates_is_refused(
    manager: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    assert main.main(["secret", "source", *GIVEN, "--ca", str(file)]) != 0
    assert said in capsys.readouterr().err


def test_mode_that_checks_the_authority_alone_needs_one(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["secret", "source", *GIVEN, "--sslmode", "verify-ca"]) != 0
    assert "ca is missing, and sslmode verify-ca checks nothing else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mode", "host", "warned"),
    [
        ("prefer", "db.example.com", True),
        ("require", "db.example.com", True),
        ("verify-full", "db.example.com", False),
        ("prefer", "localhost", False),
    ],
)
def test_weaker_mode_is_written_and_warned_about(
    manager: Any, capsys: pytest.CaptureFixture[str], mode: str, host: str, warned: bool
) -> None:
    assert main.main(["secret", "source", *GIVEN, "--host", host, "--sslmode", mode]) == 0
    assert value(manager)["sslmode"] == mode
    said = capsys.readouterr().err
    assert said.startswith(f"totes: sslmode {mode} for {host}: ") == warned
    assert bool(said) == warned


def test_secret_that_names_another_is_left_alone(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    held = json.dumps({"secret": "arn:aws:secretsmanager:eu-west-2:1:secret:rds!db-1", "host": "h", "dbname": "d"})
    manager.put_secret_value(SecretId=NAMES.source_secret, SecretString=held)
    assert main.main(["secret", "source"]) == 2
    assert "names another secret, which has the login" in capsys.readouterr().err
    assert manager.get_secret_value(SecretId=NAMES.source_secret)["SecretString"] == held
