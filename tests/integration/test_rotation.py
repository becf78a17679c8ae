"""RDS rotates a password between executions and within one: nobody notices, and no attempt fails."""

import contextlib
import json
from collections.abc import Callable, Iterator

import boto3
import pytest
from pg8000.native import identifier, literal

from local.postgres.databases import LOADER, READER
from tests.support.pipeline import Pipeline
from totes.errors import SourceUnreachable, WarehouseUnreachable
from totes.postgres import connection
from totes.runtime import secrets

Rotates = Callable[[str], None]
STAGES = {"ingest": (READER, "source", SourceUnreachable), "load": (LOADER, "warehouse", WarehouseUnreachable)}


class Rotation:
    """The rotation of one login, step by step, as RDS does it with a secret that it manages."""

    def __init__(self, pipeline: Pipeline, role: str, which: str) -> None:
        self._pipeline, self._role = pipeline, role
        self._client = boto3.client("secretsmanager", region_name="eu-west-2")
        self._id = f"rds!db-{pipeline.name}-{which}"
        name = f"{pipeline.name}/{which}"
        found = json.loads(self._client.get_secret_value(SecretId=name)["SecretString"])
        login = {part: found.pop(part) for part in ("username", "password")}
        arn = self._client.create_secret(Name=self._id, SecretString=json.dumps(login))["ARN"]
        self._client.put_secret_value(SecretId=name, SecretString=json.dumps(found | {"secret": arn}))

    def pending(self, password: str) -> None:
        self._put(password, "AWSPENDING")

    def database(self, password: str) -> None:
        self._pipeline.postgres.execute(f"ALTER ROLE {identifier(self._role)} PASSWORD {literal(password)}")

    def current(self, password: str) -> None:
        self._put(password, "AWSCURRENT")

    def _put(self, password: str, label: str) -> None:
        text = json.dumps({"username": self._role, "password": password})
        self._client.put_secret_value(SecretId=self._id, SecretString=text, VersionStages=[label])


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rotation(pipeline: Pipeline, stage: str) -> Iterator[Rotation]:
    role, which, _ = STAGES[stage]
    rotation = Rotation(pipeline, role, which)
    yield rotation
    rotation.database(pipeline.passwords[role])


@contextlib.contextmanager
def after_the_secret_is_read(patch: pytest.MonkeyPatch, stage: str, *steps: Callable[[], None]) -> Iterator[None]:
    """Takes steps of the rotation after the stage has read the secret, and before it connects."""
    with patch.context() as context:

        def read(secret_id: str) -> secrets.Credentials:
            found = secrets.read_credentials(secret_id)
            for step in steps:
                step()
            return found

        context.setattr(f"totes.{stage}.read_credentials", read)
        yield


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the passwords that were tried, in order."""
    tried: list[str] = []
    make = connection.connect

    def noted(database: connection.Database, credentials: secrets.Credentials, application: str) -> object:
        tried.append(credentials.password)
        return make(database, credentials, application)

    monkeypatch.setattr(connection, "connect", noted)
    return tried


def test_rotation_between_executions_is_not_noticed(pipeline: Pipeline, stage: str, rotation: Rotation) -> None:
    pipeline.run()
    for password in ("second", "third"):
        rotation.pending(password)
        rotation.database(password)
        rotation.current(password)
        pipeline.run()


def test_rotation_after_the_secret_was_read_costs_no_attempt(
    pipeline: Pipeline, stage: str, rotation: Rotation, monkeypatch: pytest.MonkeyPatch, logins: list[str]
) -> None:
    if stage == "load":
        pipeline.ingest()
        pipeline.transform()
    logins.clear()
    rotate = [lambda: rotation.database("second"), lambda: rotation.current("second")]
    with after_the_secret_is_read(monkeypatch, stage, *rotate):
        getattr(pipeline, stage)()
    assert logins == [pipeline.passwords[STAGES[stage][0]], "second"]


def test_password_that_is_pending_is_tried_before_it_is_current(
    pipeline: Pipeline, stage: str, rotation: Rotation, logins: list[str]
) -> None:
    """The database has the new password, but the rotation has not ended."""
    rotation.pending("second")
    rotation.database("second")
    getattr(pipeline, stage)()
    assert logins == [pipeline.passwords[STAGES[stage][0]], "second"]


def test_wrong_password_that_has_not_changed_is_tried_once(
    pipeline: Pipeline, stage: str, rotation: Rotation, logins: list[str]
) -> None:
    role, _, error = STAGES[stage]
    rotation.database("second")
    with pytest.raises(error, match="password authentication failed"):
        getattr(pipeline, stage)()
    assert logins == [pipeline.passwords[role]]


def test_error_is_the_first_one_where_nothing_helps(
    pipeline: Pipeline, stage: str, rotation: Rotation, logins: list[str]
) -> None:
    role, _, error = STAGES[stage]
    rotation.database("second")
    rotation.pending("third")
    with pytest.raises(error, match="password authentication failed"):
        getattr(pipeline, stage)()
    assert logins == [pipeline.passwords[role], "third"]
