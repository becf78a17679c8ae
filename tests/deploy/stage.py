"""A stage that `npx sls deploy` has made in moto, as a person with the AWS command line sees it."""

import json
import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import boto3

from totes.names import Names

ROOT = Path(__file__).resolve().parent.parent.parent
MAILBOX = "on-call@example.com"
POLL_SECONDS = 0.05
LONGEST_EXECUTION = 120


class SlsFailed(Exception):
    """The command failed; the message is what it printed."""


class Stage:
    """The stage `dev`."""

    names = Names("dev", "123456789012", "eu-west-2")

    def sls(self, *arguments: str) -> str:
        """Run `npx sls … --stage dev` in the checkout, against moto.

        Returns:
            What it printed.

        Raises:
            SlsFailed: its status is not 0.
        """
        ran = subprocess.run(
            ["npx", "sls", *arguments, "--stage", self.names.stage],
            cwd=ROOT,
            env=os.environ | {"TOTES_ALERT_EMAIL": MAILBOX, "SLS_AWS_MONITORING_FREQUENCY": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise SlsFailed(f"sls {' '.join(arguments)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    def client(self, service: str) -> Any:
        make_client: Any = boto3.client  # typed for literal names only
        return make_client(service)

    def resources(self) -> dict[str, str]:
        """The physical id of each resource in the stack, by its name in the template."""
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

    def put_secret(self, secret: str, credentials: dict[str, Any]) -> None:
        """Give a secret its value out of band, as docs/deploy.md says."""
        self.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=json.dumps(credentials))

    def execute(self) -> dict[str, Any]:
        """Start the deployed machine through the API and wait for its end.

        Returns:
            The answer of DescribeExecution.
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

    def empty_buckets(self) -> None:
        """Delete every version of every object of the lake, as a person has to before `sls remove`."""
        for bucket in (self.names.landing_bucket, self.names.processed_bucket):
            boto3.resource("s3").Bucket(bucket).object_versions.delete()
