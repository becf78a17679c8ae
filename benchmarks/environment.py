"""Makes a benchmark's environment: a PostgreSQL with both databases, and an S3 in its own process."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3

from local.aws.deployment import ROOT
from local.business.seed import seed
from local.business.trading import MEASURED_UNTIL
from local.postgres.databases import LOADER, READER, SOURCE, WAREHOUSE, create_databases, new_credentials
from local.postgres.server import Postgres

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LANDING, PROCESSED = "bench-landing", "bench-processed"
_AWS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "eu-west-2"}
_SOURCE_SECRET, _WAREHOUSE_SECRET = "source", "warehouse"


@dataclass(frozen=True)
class Environment:
    """The servers that all competitors use.

    Attributes:
        endpoint: the address of the AWS stand-in.
    """

    postgres: Postgres
    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """Returns the environment variables for a process that runs the handlers."""
        return {
            **os.environ,
            **_AWS,
            "AWS_ENDPOINT_URL": self.endpoint,
            "TOTES_LANDING_BUCKET": LANDING,
            "TOTES_PROCESSED_BUCKET": PROCESSED,
            "TOTES_SOURCE_SECRET": _SOURCE_SECRET,
            "TOTES_WAREHOUSE_SECRET": _WAREHOUSE_SECRET,
            "POWERTOOLS_SERVICE_NAME": "bench",
            "POWERTOOLS_METRICS_NAMESPACE": "bench",
            "POWERTOOLS_TRACE_DISABLED": "true",
            "POWERTOOLS_LOG_LEVEL": "WARNING",
        }

    @cached_property
    def s3(self) -> "S3Client":
        return boto3.client("s3", **self._aws())

    @cached_property
    def secrets(self) -> Any:
        return boto3.client("secretsmanager", **self._aws())

    def set_up(self) -> None:
        """Creates the databases, buckets and secrets."""
        create_databases(self.postgres)
        for bucket in (LANDING, PROCESSED):
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        for name, role, database in ((_SOURCE_SECRET, READER, SOURCE), (_WAREHOUSE_SECRET, LOADER, WAREHOUSE)):
            secret = new_credentials(self.postgres, role, database)
            self.secrets.create_secret(Name=name, SecretString=json.dumps(secret))

    def empty_database(self, name: str, owner: str = Postgres.superuser) -> None:
        """Drops a database if it exists, and creates it empty."""
        self.postgres.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.postgres.create_database(name, owner)

    def forget(self) -> None:
        """Empties the lake and the warehouse."""
        self.empty_database(WAREHOUSE, LOADER)
        for bucket, key in self.objects():
            self.s3.delete_object(Bucket=bucket, Key=key)

    def objects(self) -> list[tuple[str, str]]:
        """Returns the bucket and key of every object in the lake."""
        return [
            (bucket, item["Key"])
            for bucket in (LANDING, PROCESSED)
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            for item in page.get("Contents", [])
        ]

    def source_by_way_of(self, host: str) -> dict[str, str]:
        """Returns the environment variables with totesys's socket in another folder."""
        secret = json.loads(self.secrets.get_secret_value(SecretId=_SOURCE_SECRET)["SecretString"])
        self.secrets.create_secret(Name="by-way", SecretString=json.dumps(secret | {"host": host}))
        return self.environment | {"TOTES_SOURCE_SECRET": "by-way"}

    def _aws(self) -> dict[str, Any]:
        return {
            "endpoint_url": self.endpoint,
            "region_name": _AWS["AWS_DEFAULT_REGION"],
            "aws_access_key_id": _AWS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": _AWS["AWS_SECRET_ACCESS_KEY"],
        }


@contextlib.contextmanager
def environment(
    fill: Callable[[Postgres], object] = lambda _postgres: None, s3_latency: float = 0.0
) -> Iterator[Environment]:
    """Makes an environment with an empty lake, an empty warehouse and a filled totesys.

    Args:
        s3_latency: seconds added to each request to S3.
    """
    with Postgres() as postgres, _aws_process(s3_latency) as endpoint:
        made = Environment(postgres, endpoint)
        made.set_up()
        fill(postgres)
        yield made


@contextlib.contextmanager
def _aws_process(s3_latency: float) -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.aws", str(s3_latency)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C in the terminal reaches only this process, which stops the server at its own end.
        start_new_session=True,
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.communicate()


def seeded(s3_latency: float = 0.0) -> contextlib.AbstractContextManager[Environment]:
    """Makes an environment whose totesys has the real size."""

    def fill(postgres: Postgres) -> None:
        with contextlib.closing(postgres.connect(SOURCE)) as connection:
            seed(connection, until=MEASURED_UNTIL)

    return environment(fill, s3_latency)
