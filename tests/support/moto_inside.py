"""Puts objects into the AWS of a test's own process without a request, which would take ten times as long."""

from moto.s3.models import S3Backend, s3_backends
from moto.secretsmanager.models import SecretsManagerBackend, secretsmanager_backends

ACCOUNT, REGION = "123456789012", "eu-west-2"


def create_bucket(name: str) -> None:
    """Creates an empty bucket."""
    s3().create_bucket(name, REGION)


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
