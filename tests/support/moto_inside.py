"""Writes and reads the AWS of a test's own process without a request, which would take ten times as long."""

from typing import Any

from moto.s3.models import S3Backend, s3_backends
from moto.secretsmanager.models import SecretsManagerBackend, secretsmanager_backends
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

ACCOUNT, REGION = "123456789012", "eu-west-2"


def create_bucket(name: str) -> None:
    """Creates an empty bucket."""
    s3().create_bucket(name, REGION)


def etags(bucket: str) -> dict[str, str]:
    """Returns the digests of a bucket's objects, by key, in the keys' order."""
    backend = s3()
    keys, *_ = backend.list_objects(backend.get_bucket(bucket), None, None, None, None)
    return {key.name: key.etag for key in keys}


def body(bucket: str, key: str) -> bytes:
    """Returns an object's content.

    Raises:
        KeyError: there is no such object.
    """
    found = s3().get_object(bucket, key)
    if found is None:
        raise KeyError(f"s3://{bucket}/{key}")
    return bytes(found.value)


def history(execution_arn: str) -> list[dict[str, Any]]:
    """Returns an execution's events. Their timestamps are texts of ISO 8601."""
    events: list[Any] = stepfunctions_parser_backends[ACCOUNT][REGION].get_execution_history(execution_arn)["events"]
    return events


def put_secret(name: str, text: str) -> None:
    """Creates a secret, or gives it another value."""
    secrets = _secrets()
    if name in secrets.secrets:
        secrets.put_secret_value(name, text, None, None, ["AWSCURRENT"])
    else:
        secrets.create_secret(name, text, None, None, None, None, None, [], False)


def s3() -> S3Backend:
    """Returns moto's model of S3."""
    return s3_backends[ACCOUNT]["aws"]


def _secrets() -> SecretsManagerBackend:
    return secretsmanager_backends[ACCOUNT][REGION]
