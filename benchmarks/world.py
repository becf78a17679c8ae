"""What a benchmark needs around it: a PostgreSQL with both databases, and an S3 in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import boto3

from local.databases import LOADER, READER, SOURCE, WAREHOUSE, create_databases, new_credentials
from local.postgres import Postgres

_LANDING, _PROCESSED = "bench-landing", "bench-processed"
_AWS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "eu-west-2"}


@dataclass(frozen=True)
class World:
    """Everything that is measured runs against this.

    Attributes:
        environment: variables of a process that runs the handlers.
    """

    postgres: Postgres
    environment: dict[str, str]

    def forget(self) -> None:
        """Empties lake and warehouse."""
        for statement in (
            f"DROP DATABASE IF EXISTS {WAREHOUSE} WITH (FORCE)",
            f"CREATE DATABASE {WAREHOUSE} OWNER {LOADER}",
        ):
            self.postgres.execute(statement)
        s3 = _client("s3", self.environment["AWS_ENDPOINT_URL"])
        for bucket in (_LANDING, _PROCESSED):
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for item in page.get("Contents", []):
                    s3.delete_object(Bucket=bucket, Key=item["Key"])


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A world with an empty totesys, lake and warehouse."""
    with Postgres() as postgres, _aws() as endpoint:
        create_databases(postgres)
        s3, secrets = _client("s3", endpoint), _client("secretsmanager", endpoint)
        for bucket in (_LANDING, _PROCESSED):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        for name, role, database in (("source", READER, SOURCE), ("warehouse", LOADER, WAREHOUSE)):
            secrets.create_secret(Name=name, SecretString=json.dumps(new_credentials(postgres, role, database)))
        yield World(
            postgres,
            {
                **os.environ,
                **_AWS,
                "AWS_ENDPOINT_URL": endpoint,
                "TOTES_LANDING_BUCKET": _LANDING,
                "TOTES_PROCESSED_BUCKET": _PROCESSED,
                "TOTES_SOURCE_SECRET": "source",
                "TOTES_WAREHOUSE_SECRET": "warehouse",
                "POWERTOOLS_SERVICE_NAME": "bench",
                "POWERTOOLS_METRICS_NAMESPACE": "bench",
                "POWERTOOLS_TRACE_DISABLED": "true",
                "POWERTOOLS_LOG_LEVEL": "WARNING",
            },
        )


def _client(service: str, endpoint: str):  # noqa: ANN202
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="eu-west-2",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",  # noqa: S106
    )


@contextlib.contextmanager
def _aws() -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--port", "5557"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        endpoint = "http://127.0.0.1:5557"
        client = _client("s3", endpoint)
        for _ in range(100):
            with contextlib.suppress(Exception):
                client.list_buckets()
                break
            time.sleep(0.1)
        yield endpoint
    finally:
        server.terminate()
        server.wait()
