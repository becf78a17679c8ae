import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.unit.totes.conftest import AwsAnswers
from totes.errors import AccessRefused, LakeUnavailable
from totes.secrets import Credentials, read_credentials

RDS = {"host": "db.example.com", "port": 5433, "dbname": "totesys", "username": "reader", "password": "hunter2"}


@pytest.fixture
def secrets() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("secretsmanager")


def stored(secrets: Any, document: object) -> str:
    return secrets.create_secret(Name="totes/dev/source", SecretString=json.dumps(document))["Name"]


def test_secret_of_rds_is_understood(secrets: Any) -> None:
    found = read_credentials(stored(secrets, RDS | {"engine": "postgres", "sslmode": "verify-full"}))
    assert found == Credentials("db.example.com", "totesys", "reader", "hunter2", 5433, "verify-full")


def test_port_and_tls_have_defaults(secrets: Any) -> None:
    found = read_credentials(stored(secrets, {name: RDS[name] for name in RDS if name != "port"}))
    assert (found.port, found.sslmode) == (5432, "prefer")


def test_rotated_secret_is_read_anew(secrets: Any) -> None:
    name = stored(secrets, RDS)
    read_credentials(name)
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps(RDS | {"password": "rotated"}))
    assert read_credentials(name).password == "rotated"


def test_representation_hides_the_password() -> None:
    assert "hunter2" not in repr(Credentials("db", "totesys", "reader", "hunter2"))


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        (RDS | {"password": ""}, "lacks password"),
        ({"password": "hunter2"}, "lacks host, dbname, username"),
        ("hunter2", "lacks host, dbname, username, password"),
        (["hunter2"], "lacks host, dbname, username, password"),
        (RDS | {"port": "hunter2"}, "has a wrong port or sslmode"),
        (RDS | {"port": 0}, "has a wrong port or sslmode"),
        (RDS | {"port": 65_536}, "has a wrong port or sslmode"),
        (RDS | {"sslmode": "disable"}, "has a wrong port or sslmode"),
    ],
)
def test_malformed_secret_is_described_but_never_quoted(secrets: Any, document: object, wrong: str) -> None:
    with pytest.raises(AccessRefused, match=f"Secret totes/dev/source {wrong}. Store JSON with host, port") as caught:
        read_credentials(stored(secrets, document))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_text_that_is_no_json_is_refused_unquoted(secrets: Any) -> None:
    secrets.create_secret(Name="totes/dev/source", SecretString="hunter2")
    with pytest.raises(AccessRefused, match="lacks host") as caught:
        read_credentials("totes/dev/source")
    assert "hunter2" not in str(caught.value)


def test_binary_secret_is_refused(secrets: Any) -> None:
    secrets.create_secret(Name="totes/dev/source", SecretBinary=b"hunter2")
    with pytest.raises(AccessRefused, match="lacks host"):
        read_credentials("totes/dev/source")


def test_missing_secret_is_named(secrets: Any) -> None:
    with pytest.raises(AccessRefused, match=r"Secret totes/dev/nothing: .* ResourceNotFoundException. Check that the"):
        read_credentials("totes/dev/nothing")


@pytest.mark.parametrize(
    ("status", "code", "kind", "attempts"),
    [
        (400, "AccessDeniedException", AccessRefused, 1),
        (400, "ThrottlingException", LakeUnavailable, 6),
        (500, "InternalServiceError", LakeUnavailable, 6),
    ],
)
def test_answers_of_secrets_manager_are_told_apart(
    aws_answers: AwsAnswers, status: int, code: str, kind: type[Exception], attempts: int
) -> None:
    requests = aws_answers(status, json.dumps({"__type": code, "message": "no"}))
    with pytest.raises(kind, match=f"Secret totes/dev/source: Secrets Manager says {code}"):
        read_credentials("totes/dev/source")
    assert len(requests) == attempts


def test_unreachable_secrets_manager_is_transient(aws_answers: AwsAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(LakeUnavailable, match=r"Secret totes/dev/source: Could not connect .* Nothing to do"):
        read_credentials("totes/dev/source")
