"""No form of a secret leaves on any way out: forms, names and odd passwords first, then the ways out."""

import io
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pg8000.native import literal

from cli.errors import CommandFailed, one_line
from functions.fail import handler as fail
from local.lambda_runtime.worker import LambdaContext, error_payload
from totes.alerts.email import Failure, failure_mail
from totes.errors import TotesError, UnexpectedError
from totes.runtime.log import logger, observed
from totes.runtime.names import Names
from totes.runtime.redaction import forget_secrets, redacted, remember_secret
from totes.runtime.secrets import parse_credentials

NOW = datetime(2026, 11, 15, 9, 30, tzinfo=UTC)
NAMES = Names("dev", "123456789012", "eu-west-2")

# Two words that must not be in the rest, so that a part of a password counts as much as the whole.
WORDS = ("Xyzzy", "Plugh")
ODD = st.text(
    st.sampled_from("/@#:;,&?%=+*$!|~^<>()[]{}'\"\\` -_.") | st.characters(min_codepoint=33, max_codepoint=0x17F),
    max_size=3,
)
PASSWORDS = st.tuples(ODD, ODD, ODD).map(lambda odd: odd[0] + WORDS[0] + odd[1] + WORDS[1] + odd[2])

PASSWORD_NAMES = ["password", "PASSWORD", "PGPASSWORD", "db_password", "sslpassword", "passwd", "pwd", "MYSQL_PWD"]
TOKEN_NAMES = [
    "secret",
    "token",
    "SessionToken",
    "aws_secret_access_key",
    "client-secret",
    "api_key",
    "X-Amz-Signature",
]
ANY_NAMES = PASSWORD_NAMES + TOKEN_NAMES


def conninfo(value: str) -> str:
    """Quotes a value for libpq."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def bare(password: str) -> str:
    """Generates passwords for unquoted forms: without white space, and without the beginning of another form."""
    assume(not re.search(r"\s", password))
    assume(password[0] != "{")
    return password


def in_url(password: str) -> str:
    """Generates passwords that do not begin like a port after a host's colon, and that hold no URL."""
    assume(not re.match(r"[0-9]{1,5}[^\w@]", password))
    assume("://" not in password)
    return password


FORMS: dict[str, Callable[[str, str], str]] = {
    "a pair": lambda name, it: f"host=db {name}={bare(it)} dbname=totesys",
    "a pair with spaces": lambda name, it: f"host = db {name} = {bare(it)} dbname = totesys",
    "a quoted pair": lambda name, it: f"host=db {name}={conninfo(it)} dbname=totesys",
    "a shell's pair": lambda name, it: f"{name}={bare(it)} psql --host db",
    "an option": lambda name, it: f"psql --{name} {bare(it)} --host db",
    "an option with a sign": lambda name, it: f"psql --{name}={bare(it)} --host db",
    "a query": lambda name, it: f"jdbc:postgresql://db/totesys?user=reader&{name}={quote(it, safe='')}&ssl=true",
    "a form": lambda name, it: f"user=reader&{name}={quote_plus(it)}",
    "a repr": lambda name, it: repr({"user": "reader", name: it, "host": "db"}),
    "a repr of bytes": lambda name, it: repr({"user": "reader", name: it.encode(), "host": "db"}),
    "a dataclass": lambda name, it: f"Config(user='reader', {name}={it!r}, host='db')",
    "JSON": lambda name, it: json.dumps({"user": "reader", name: it, "host": "db"}),
    "JSON as it is": lambda name, it: json.dumps({"user": "reader", name: it, "host": "db"}, ensure_ascii=False),
    "JSON without spaces": lambda name, it: json.dumps({name: it, "host": "db"}, separators=(",", ":")),
    "JSON in JSON": lambda name, it: json.dumps({"SecretText": json.dumps({name: it, "host": "db"})}),
    "JSON in JSON in JSON": lambda name, it: json.dumps(json.dumps(json.dumps({name: it, "host": "db"}))),
    "JSON in a repr": lambda name, it: repr({"text": json.dumps({name: it, "host": "db"})}),
    "a secret's text": lambda name, it: json.dumps({"Name": "totes/dev", "SecretString": json.dumps({name: it})}),
    "a pair in JSON": lambda name, it: json.dumps({"error": f"host=db {name}={bare(it)} dbname=totesys", "code": 1}),
    "YAML": lambda name, it: f"user: reader\n{name}: {bare(it)}7\nhost: db",
    "ODBC": lambda name, it: f"Server=db;{name}={{{it.replace('}', '}}')}}};Database=totesys",
}
PASSWORD_FORMS: dict[str, Callable[[str], str]] = {
    "a URL": lambda it: f"postgresql://reader:{in_url(it)}@db:5432/totesys",
    "a URL without a user": lambda it: f"redis://:{in_url(it)}@db",
    "an encoded URL": lambda it: f"postgresql://reader:{quote(it, safe='')}@db:5432/totesys",
    "SQL": lambda it: f"ALTER ROLE reader PASSWORD '{it.replace(chr(39), chr(39) * 2)}'",
    "a driver's SQL": lambda it: f"CREATE ROLE reader LOGIN ENCRYPTED PASSWORD {literal(it)} VALID UNTIL 'infinity'",
    "SQL in dollars": lambda it: f"ALTER ROLE reader PASSWORD $a${it}$a$",
    "SQL in a log": lambda it: f"STATEMENT:  alter role reader password {literal(it)};",
    "a bearer": lambda it: f"GET / HTTP/1.1\nAuthorization: Bearer {it}\nHost: db",
    "a bearer in JSON": lambda it: json.dumps({"headers": {"authorization": f"Bearer {it}", "Host": "db"}}),
}


def clean(text: str) -> bool:
    return not any(word in text for word in WORDS)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None)
@given(password=PASSWORDS, name=st.sampled_from(ANY_NAMES))
@example(password="0:XyzzyPlugh", name="secret")
@example(password="as.XyzzyPlugh", name="token")
def test_named_secret_is_masked_in_every_form(form: str, password: str, name: str) -> None:
    left = redacted(f"can't connect: {FORMS[form](name, password)}\nsee the log")
    assert clean(left)
    assert left.startswith("can't connect: ")
    assert left.endswith("\nsee the log")
    assert redacted(left) == left


@pytest.mark.parametrize("form", PASSWORD_FORMS)
@settings(deadline=None)
@given(password=PASSWORDS)
@example(password="Xyzzy' Plugh")
@example(password="Xyzzy\\' Plugh")
def test_password_is_masked_in_every_form(form: str, password: str) -> None:
    left = redacted(f"can't connect: {PASSWORD_FORMS[form](password)}\nsee the log")
    assert clean(left)
    assert left.startswith("can't connect: ")
    assert left.endswith("\nsee the log")
    assert redacted(left) == left


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("postgresql://reader:hunter2@db:5432/totesys", "postgresql://reader:***@db:5432/totesys"),
        ("a://b:hunter2@c/d and e://f:hunter2@g/h", "a://b:***@c/d and e://f:***@g/h"),
        ("host=db password=hunter2 dbname=totesys", "host=db password=*** dbname=totesys"),
        ("password='hunter 2' host=db", "password=*** host=db"),
        ('{"username": "reader", "password": "hunter, 2"}', '{"username": "reader", "password": ***}'),
        ("{'PASSWORD': 'hunter2', 'host': 'db'}", "{'PASSWORD': ***, 'host': 'db'}"),
        ('{"credentials": {"password": "hunter2", "host": "db"}}', '{"credentials": {"password": ***, "host": "db"}}'),
        ('{"secret": {"password": "hunter2", "host": "db"}}', '{"secret": {"password": ***, "host": "db"}}'),
        ("TOTES_PASSWORD=hunter2 PGPASSWORD=hunter2", "TOTES_PASSWORD=*** PGPASSWORD=***"),
        ("AWS_SECRET_ACCESS_KEY=hunter2 AWS_SESSION_TOKEN=hunter2", "AWS_SECRET_ACCESS_KEY=*** AWS_SESSION_TOKEN=***"),
        ("secret = hunter2, token:hunter2;", "secret = *** token:***"),
        ("ALTER ROLE reader PASSWORD 'hunter2' VALID", "ALTER ROLE reader PASSWORD *** VALID"),
        ("Authorization: Basic aHVudGVyMg==\nHost: db", "Authorization: ***\nHost: db"),
        ("PGPASSWORD=hunter\\ 2 psql", "PGPASSWORD=*** psql"),
    ],
)
def test_what_is_beside_a_secret_stays(text: str, without: str) -> None:
    assert redacted(text) == without


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/data/staff",
        'password authentication failed for user "reader"',
        "{'S': 'FATAL', 'C': '28P01', 'M': 'password authentication failed for user \"reader\"', 'R': 'auth_failed'}",
        "a: b",
        "Secret totes/dev/warehouse lacks password.",
        "Secret arn:aws:secretsmanager:eu-west-2:1:secret:totes/dev-a: Secrets Manager says AccessDeniedException.",
        "Set TOTES_PASSWORD, or give --username.",
        "Table token: expected 3 columns, found 4. Table token_usage: 7 rows. Column secret: null.",
        "Table password_history, column password_changed_at = 2024-01-01",
        "Key (token)=(7) already exists.",
        'invalid input syntax for type json: Token "abc" is invalid.',
        'syntax error at or near "token"',
        '{"password": null, "token": None}',
        "http://127.0.0.1:8683 refused; write to a@example.com",
        "https://eu-west-2.console.aws.amazon.com/states/home?region=eu-west-2#/v2/executions/details/arn:aws:states:a@b",
        "password::text, secret::bytea",
        "SecretId=totes/dev/source, secret_arn: arn:aws:secretsmanager:eu-west-2:1:secret:a",
    ],
)
def test_text_without_secrets_stays(text: str) -> None:
    assert redacted(text) == text


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "P", "Z", "S"]) | st.sampled_from("'\"\\:=/@ ")))
def test_text_without_a_secrets_name_stays(text: str) -> None:
    assume("://" not in text)
    assert redacted(text) == text


@pytest.mark.parametrize("many", ["password='", "PASSWORD=x", '"token": "', "x://y:", "a" * 9, '\\"', "--token "])
def test_long_text_takes_no_longer_than_its_length(many: str) -> None:
    text = many * (200_000 // len(many))
    began = time.monotonic()
    redacted(text)
    # Time by the square of this length would be hours.
    assert time.monotonic() - began < 60


# Credentials that this process has read.

WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "URL": lambda it: quote(it, safe=""),
    "form": quote_plus,
    "JSON": json.dumps,
    "JSON in JSON": lambda it: json.dumps({"cause": json.dumps({"it": it}, ensure_ascii=False)}),
    "repr": repr,
    "repr of a repr's JSON": lambda it: json.dumps(repr([it])),
    "bytes": lambda it: repr(it.encode()),
    "SQL": literal,
    "libpq": conninfo,
}


@pytest.mark.parametrize("way", WRITTEN)
@settings(deadline=None)
@given(password=PASSWORDS)
def test_known_secret_is_masked_wherever_it_is(way: str, password: str) -> None:
    forget_secrets()
    remember_secret(password)
    left = redacted(f"the server of{WRITTEN[way](password)}said no")
    assert clean(left)
    assert left.startswith("the server of")
    assert left.endswith("said no")


@pytest.mark.parametrize(
    ("secret", "left"),
    [
        ("a", "a late order of staff; password=***"),
        ("ate", "a late order of staff; password=***"),
        ("late", "a *** order of staff; password=***"),
        ("taff", "a late order of staff; password=***"),
        ("late order", "a *** of staff; password=***"),
        ("der of st", "a late or***aff; password=***"),
    ],
)
def test_short_known_secret_leaves_the_text_readable(secret: str, left: str) -> None:
    remember_secret(secret)
    assert redacted(f"a late order of staff; password={secret.replace(' ', '')}") == left


def test_read_credentials_are_known() -> None:
    place = {"host": "db", "dbname": "totesys", "username": "reader"}
    parse_credentials("totes/dev/source", json.dumps(place | {"password": "Xyzzy/Plugh 7"}))
    assert redacted("I was given Xyzzy/Plugh 7, and Xyzzy%2FPlugh+7.") == "I was given ***, and ***."


# The ways out of the process.

SECRETS = st.one_of(
    *(st.builds(form, st.sampled_from(ANY_NAMES), PASSWORDS) for form in FORMS.values()),
    *(PASSWORDS.map(form) for form in PASSWORD_FORMS.values()),
)
FEW = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@FEW
@given(secret=SECRETS)
def test_log_metrics_and_cause_bear_no_secret(
    secret: str, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    log.truncate(0)

    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        logger.info(secret)
        logger.warning("%s", secret, extra={"why": secret, "list": [{"in": (secret,)}], "error": ValueError(secret)})
        error = RuntimeError(secret)
        error.add_note(secret)
        raise error

    with pytest.raises(UnexpectedError) as caught:
        observed(handler)({"execution": "arn"}, LambdaContext("f", 512, "arn", "req-1", 0.0))
    out = capsys.readouterr().out
    for line in (*log.getvalue().lstrip("\0").splitlines(), *out.splitlines()):
        json.loads(line)
    assert clean(log.getvalue() + out + json.dumps(error_payload(caught.value, "req-1")))


@FEW
@given(secret=SECRETS)
def test_history_bears_no_secret_of_lambda_itself(secret: str) -> None:
    failure = {"State": "Load", "Error": "Runtime.ExitError", "Cause": {"errorMessage": secret}}
    with pytest.raises(Exception) as caught:  # noqa: PT011  the class is made as it is raised
        fail({"failure": failure, "caught": "2026-11-24T09:00:00.123Z", "context": {"Id": "arn", "Input": {}}}, None)
    assert clean(json.dumps(error_payload(caught.value, "req-1")))


@FEW
@given(secret=SECRETS, where=st.sampled_from(["found", "remedy", "error", "state", "execution"]))
def test_mail_bears_no_secret(secret: str, where: str) -> None:
    fields = {"execution": "arn:of:one", "state": "Load", "error": "UnexpectedError", "found": "x", "remedy": "y"} | {
        where: secret
    }
    mail = failure_mail(Failure(NAMES, started=NOW, failed=NOW, **fields))
    assert clean(mail.subject + mail.body)


@FEW
@given(secret=SECRETS, known=PASSWORDS)
def test_terminal_bears_no_secret(secret: str, known: str) -> None:
    forget_secrets()
    remember_secret(known)
    for error in (TotesError(secret, "Nothing to do."), OSError(secret), CommandFailed(f"{secret}\n{known}")):
        assert clean(one_line(error))
