"""Handles a stage that `npx sls deploy` has made in moto, as a person with the AWS command line does."""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from pg8000.native import identifier

from local.postgres.server import Postgres
from totes.runtime.names import Names

ROOT = Path(__file__).resolve().parent.parent.parent
MAILBOX = "on-call@example.com"
POLL_SECONDS = 0.05
LONGEST_EXECUTION = 120
LONGEST_COMMAND = 600


def service_copy(folder: Path) -> Path:
    """Copies the files that `sls` needs from the checkout into a folder of its own: it empties .serverless there each
    time.

    The copy shares the packages of Node and the built layer.
    """
    for needed in ("functions", "resources", "schemas", "statemachine", "totes"):
        shutil.copytree(ROOT / needed, folder / needed, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("serverless.yml", "package.json", "requirements.txt"):
        shutil.copy(ROOT / file, folder)
    for shared in ("node_modules", "build"):
        (ROOT / shared).mkdir(exist_ok=True)
        (folder / shared).symlink_to(ROOT / shared)
    return folder


class SlsFailed(Exception):
    """Raised if the command failed. The message is the command's output."""


class Stage:
    """The stage `dev`.

    Args:
        service: the folder from which it is deployed, see `service_copy`.
    """

    names = Names("dev", "123456789012", "eu-west-2")

    def __init__(self, service: Path) -> None:
        self.service = service
        self.packed = service / ".serverless"

    def sls(self, *arguments: str, stage: str = "dev") -> str:
        """Runs `npx sls … --stage dev` against moto.

        Returns:
            its output.

        Raises:
            SlsFailed: it failed.
        """
        ran = subprocess.run(
            ["npx", "sls", *arguments, "--stage", stage],
            cwd=self.service,
            env=os.environ | {"TOTES_ALERT_EMAIL": MAILBOX, "SLS_AWS_MONITORING_FREQUENCY": "200"},
            capture_output=True,
            text=True,
            timeout=LONGEST_COMMAND,
            check=False,
        )
        if ran.returncode:
            raise SlsFailed(f"sls {' '.join(arguments)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    @contextmanager
    def edited(self, file: str, edit: Callable[[str], str]) -> Iterator[None]:
        """Replaces a file of the service during the block."""
        path = self.service / file
        before = path.read_text(encoding="utf-8")
        path.write_text(edit(before), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")

    def client(self, service: str) -> Any:
        make_client: Any = boto3.client  # boto3's type only takes literal names
        return make_client(service)

    def resources(self) -> dict[str, str]:
        """Returns the physical id of each resource in the stack, by its name in the template."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName="totes-dev")
        return {
            item["LogicalResourceId"]: item["PhysicalResourceId"]
            for page in pages
            for item in page["StackResourceSummaries"]
        }

    def outputs(self) -> dict[str, str]:
        stack = self.client("cloudformation").describe_stacks(StackName="totes-dev")["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def rate(self) -> str:
        expression: str = self.client("events").describe_rule(Name=self.names.rule)["ScheduleExpression"]
        return expression

    def function(self, name: str) -> dict[str, Any]:
        configuration: dict[str, Any] = self.client("lambda").get_function_configuration(
            FunctionName=self.names.function(name)
        )
        return configuration

    def role(self, logical_id: str) -> str:
        """Returns the ARN of a role, by its name in the template."""
        return f"arn:aws:iam::{self.names.account}:role/{self.resources()[logical_id]}"

    def put_secret(self, secret: str, credentials: dict[str, Any]) -> None:
        """Gives a secret its value out of band, as docs/deploy.md says."""
        self.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=json.dumps(credentials))

    def execute(self) -> dict[str, Any]:
        """Starts the deployed machine through the API and waits for its end.

        Returns:
            the answer of DescribeExecution.
        """
        machine = self.client("stepfunctions")
        arn = machine.start_execution(
            stateMachineArn=self.outputs()["StateMachine"], name=str(uuid.uuid4()), input="{}"
        )["executionArn"]
        give_up = time.monotonic() + LONGEST_EXECUTION
        while True:
            execution: dict[str, Any] = machine.describe_execution(executionArn=arn)
            if execution["status"] != "RUNNING":
                return execution
            if time.monotonic() > give_up:
                raise TimeoutError(f"{arn} still runs after {LONGEST_EXECUTION} s.")
            time.sleep(POLL_SECONDS)

    def empty_lake(self) -> None:
        """Deletes every version of every object, as a person has to before `sls remove`."""
        for bucket in boto3.resource("s3").buckets.all():
            if bucket.name in (self.names.landing_bucket, self.names.processed_bucket):
                bucket.object_versions.delete()


@dataclass(frozen=True)
class Databases:
    """A totesys with a little of our own seed, an empty warehouse, and the credentials of both."""

    postgres: Postgres
    source: dict[str, str | int]
    warehouse: dict[str, str | int]

    def count(self, which: dict[str, str | int], table: str) -> int:
        count: int = self.postgres.execute(f"SELECT count(*) FROM {identifier(table)}", str(which["dbname"]))[0][0]
        return count


def statements(document: Any) -> dict[str, Any]:
    """Returns a policy's statements by their Sid. moto returns a key's policy as a document, AWS as a text."""
    policy = document if isinstance(document, dict) else json.loads(document)
    return {statement["Sid"]: statement for statement in policy["Statement"]}
