import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.peers import Authority
from tests.unit.totes.conftest import AwsAnswers
from totes.errors import AccessDenied, LakeUnavailable
from totes.runtime.secrets import SSL_MODES, Credentials, other_versions, read_credentials

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
    assert (found.port, found.sslmode, found.tls) == (5432, "", "verify-full")


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
        pytest.param("hunter2", "not a JSON object", id="a text"),
        pytest.param(["hunter2"], "not a JSON object", id="a list"),
        pytest.param(None, "not a JSON object", id="null"),
        pytest.param(7, "not a JSON object", id="a number"),
        pytest.param({"password": "hunter2"}, "host is missing; dbname is missing; username is missing", id="lacking"),
        pytest.param(RDS | {"password": ""}, "password is missing", id="empty"),
        pytest.param(RDS | {"dbname": None}, "dbname is missing", id="nulls"),
        pytest.param(RDS | {"password": 12345}, "password is a number, not a text: write it in quotes", id="digits"),
        pytest.param(RDS | {"username": True}, "username is true or false, not a text", id="a bool"),
        pytest.param(RDS | {"dbname": ["hunter2"]}, "dbname is a list, not a text", id="list of names"),
        pytest.param(RDS | {"password": {"a": 1}}, "password is an object, not a text", id="object"),
        pytest.param(RDS | {"password": "hunter2\0"}, "password has a zero character in it", id="zero"),
        pytest.param(
            RDS | {"password": "hunter2\ud83d"}, "password has half of a surrogate pair in it", id="surrogate"
        ),
        pytest.param(RDS | {"host": "db.example.com:5432"}, "host has a port in it: store that as port", id="port"),
        pytest.param(RDS | {"host": "[::1]:5432"}, "host has a port in it: store that as port", id="port of IPv6"),
        pytest.param(RDS | {"host": "[::1]"}, "host has a character in it that no host name has", id="brackets"),
        pytest.param(RDS | {"host": "db.example.com\n"}, "host has white space in it that no host", id="newline"),
        pytest.param(RDS | {"host": " "}, "host has white space in it that no host name has", id="blank"),
        pytest.param(RDS | {"host": "a,b"}, "host has a character in it that no host name has", id="two hosts"),
        pytest.param(RDS | {"host": "me:hunter2@db"}, "host has a character in it that no host name has", id="login"),
        pytest.param(RDS | {"host": "postgres://me:hunter2@db/x"}, "host is a URL: store its parts", id="URL"),
        pytest.param(RDS | {"host": "db..example.com"}, "host is not a host name", id="two dots"),
        pytest.param(RDS | {"host": "d" * 64}, "host is not a host name", id="long label"),
        *(
            pytest.param(RDS | {"port": port}, "port is not a whole number from 1 to 65535", id=f"port {port!r}")
            for port in ("hunter2", "", None, 0, 65_536, -1, 5432.5, True, "²", [5432], "5432 ")
        ),
        *(
            pytest.param(
                RDS | {"sslmode": mode},
                f"sslmode is none of {', '.join(SSL_MODES)}",
                id=f"TLS {mode!r}",
            )
            for mode in ("disable", None, ["require"])
        ),
    ],
)
def test_malformed_secret_is_described_but_never_quoted(secrets: Any, document: object, wrong: str) -> None:
    name = stored(secrets, document)
    with pytest.raises(AccessDenied, match=f"^Secret totes/dev/source: {re.escape(wrong)}") as caught:
        read_credentials(name)
    assert "Store a JSON object with host, port, dbname, username and password, by `totes secret` or" in str(
        caught.value
    )
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "::1"},
        {"host": "fe80::1%eth0"},
        {"host": "10.0.0.7"},
        {"host": "/run/a folder"},
        {"host": "my_db"},
        {"host": "bücher.example"},
        {"port": "5433"},
        {"username": "two words"},
        {"password": "\N{GRINNING FACE}\n"},
    ],
    ids=str,
)
def test_unusual_values_are_taken(secrets: Any, changes: dict[str, str]) -> None:
    found = read_credentials(stored(secrets, RDS | changes))
    expected = RDS | changes
    assert found == Credentials(**(expected | {"port": 5433}))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [{"SecretString": "hunter2"}, {"SecretBinary": b"hunter2"}, {"SecretString": "{"}])
def test_text_without_json_is_refused_unquoted(secrets: Any, value: dict[str, Any]) -> None:
    secrets.create_secret(Name="totes/dev/source", **value)
    with pytest.raises(AccessDenied, match="Secret totes/dev/source: not a JSON object") as caught:
        read_credentials("totes/dev/source")
    assert "hunter2" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_missing_secret_is_named(secrets: Any) -> None:
    with pytest.raises(AccessDenied, match=r"Secret totes/dev/nothing: .* ResourceNotFoundException. Check that the"):
        read_credentials("totes/dev/nothing")


@pytest.mark.parametrize(
    ("status", "code", "kind", "attempts"),
    [
        (400, "AccessDeniedException", AccessDenied, 1),
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


# The fields that RDS writes: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html
MANAGED = {"username": "postgres", "password": "hunter2"}
BESIDE = {"host": "db.example.com", "port": "5433", "dbname": "totesys", "sslmode": "verify-full"}


def managed(secrets: Any, login: object = MANAGED, **beside: object) -> str:
    """Returns a stage's secret, as a deployment writes it, that names a secret of RDS."""
    arn = secrets.create_secret(Name="rds!db-0b8cdd3a", SecretString=json.dumps(login))["ARN"]
    return stored(secrets, BESIDE | {"secret": arn} | beside)


def test_secret_that_rds_manages_works_as_it_is(secrets: Any) -> None:
    name = managed(secrets)
    expected = Credentials("db.example.com", "totesys", "postgres", "hunter2", 5433, "verify-full")
    assert read_credentials(name) == expected


def test_secret_that_is_named_may_have_the_same_fields(secrets: Any) -> None:
    found = read_credentials(managed(secrets, MANAGED | {"engine": "postgres", "port": 5433, "dbname": "totesys"}))
    assert (found.dbname, found.port) == ("totesys", 5433)


@pytest.mark.parametrize(
    ("login", "beside", "wrong"),
    [
        (MANAGED | {"host": "other"}, {}, r"Secret totes/dev/source and secret arn:.* have different values of host\."),
        (MANAGED, {"host": ""}, "Secret totes/dev/source: host is missing"),
        (MANAGED, {"dbname": None}, "Secret totes/dev/source: dbname is missing"),
        (MANAGED, {"sslmode": "none"}, "Secret totes/dev/source: sslmode is none of"),
        (MANAGED, {"port": "hunter2"}, "Secret totes/dev/source: port is not a whole number"),
        (MANAGED, {"secret": ""}, "Secret totes/dev/source: secret is missing"),
        (MANAGED, {"sslmode": "verify-ca"}, "Secret totes/dev/source: ca is missing"),
        (MANAGED, {"password": "hunter2"}, "Secret totes/dev/source: password is beside secret, which has the login"),
        ({"username": "postgres"}, {}, "Secret totes/dev/source: password is missing"),
        ("hunter2", {}, "Secret arn:.*rds!db-.*: not a JSON object"),
    ],
)
def test_missing_and_contradictory_fields_are_named(
    secrets: Any, login: object, beside: dict[str, object], wrong: str
) -> None:
    name = managed(secrets, login, **beside)
    with pytest.raises(AccessDenied, match=wrong) as caught:
        read_credentials(name)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"password": "hunter2", "password": "hunter3"}', "password is there twice"),
        ('{"hunter2": 1, "hunter2": 2}', "a field twice"),
    ],
)
def test_field_that_is_there_twice_is_refused(secrets: Any, text: str, wrong: str) -> None:
    secrets.create_secret(Name="totes/dev/source", SecretString=text)
    with pytest.raises(AccessDenied, match=f"Secret totes/dev/source: {wrong}") as caught:
        read_credentials("totes/dev/source")
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"ca": "hunter2"}, "ca holds no certificates as PEM"),
        ({"ca": ""}, "ca is missing"),
        ({"ca": 1}, "ca is a number"),
        ({"sslmode": "verify-ca"}, "ca is missing, and sslmode verify-ca checks nothing else"),
        ({"sslmode": "require", "ca": None}, "ca is missing"),
    ],
)
def test_faults_of_ca_are_named(secrets: Any, changes: dict[str, object], wrong: str) -> None:
    with pytest.raises(AccessDenied, match=f"Secret totes/dev/source: {wrong}"):
        read_credentials(stored(secrets, RDS | changes))


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_ca_that_no_one_would_check_is_refused(secrets: Any, mode: str) -> None:
    with pytest.raises(AccessDenied, match=f"ca is there, and sslmode {mode} does not check it"):
        read_credentials(stored(secrets, RDS | {"ca": Authority().pem, "sslmode": mode}))


def versions(secrets: Any, name: str) -> list[str]:
    """Returns the passwords to try after the server refused the current one, which was just read."""
    read = read_credentials(name)
    return [found.password for found in other_versions(read)]


def test_nothing_else_is_tried_while_the_secret_stays_as_it_is(secrets: Any) -> None:
    assert versions(secrets, stored(secrets, RDS)) == []
    assert list(other_versions(Credentials("db", "totesys", "reader", "hunter2"))) == []


def put(secrets: Any, name: str, password: str, label: str = "AWSCURRENT") -> None:
    document = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"]) | {"password": password}
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps(document), VersionStages=[label])


def test_rotated_password_is_tried_whether_it_is_current_or_pending(secrets: Any) -> None:
    name = stored(secrets, RDS)
    stale = read_credentials(name)
    put(secrets, name, "rotated")
    put(secrets, name, "pending", "AWSPENDING")
    assert [found.password for found in other_versions(stale)] == ["rotated", "pending"]
    assert versions(secrets, name) == ["pending"]


def test_secret_that_rds_manages_is_rotated_where_it_lies(secrets: Any) -> None:
    name = managed(secrets)
    put(secrets, "rds!db-0b8cdd3a", "pending", "AWSPENDING")
    assert versions(secrets, name) == ["pending"]


def test_version_that_cannot_be_read_is_no_error_of_its_own(secrets: Any) -> None:
    name = stored(secrets, RDS)
    stale = read_credentials(name)
    secrets.put_secret_value(SecretId=name, SecretString="hunter3")
    secrets.put_secret_value(SecretId=name, SecretString="hunter4", VersionStages=["AWSPENDING"])
    assert list(other_versions(stale)) == []
