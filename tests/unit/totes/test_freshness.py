"""The age of the warehouse's data, as the function behind the rule reports it."""

import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.stepfunctions.models import stepfunctions_backends

from totes.alerts.watch import age
from totes.runtime.names import Names

NAMES = Names("test", "123456789012", "eu-west-2")


@pytest.fixture
def machine() -> Iterator[Any]:
    """Stubs the client of a state machine with a test's executions."""
    with mock_aws():
        client = boto3.client("stepfunctions")
        definition = '{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}'
        role = f"arn:aws:iam::{NAMES.account}:role/any"
        client.create_state_machine(name=NAMES.state_machine, definition=definition, roleArn=role)
        yield client


def ended(machine: Any, name: str, status: str, ago: timedelta, **output: object) -> str:
    """Returns an execution that began a while ago and has ended."""
    arn: str = machine.start_execution(stateMachineArn=NAMES.state_machine_arn, name=name)["executionArn"]
    found = stepfunctions_backends[NAMES.account][NAMES.region].describe_execution(arn)
    found.status, found.start_date, found.output = status, datetime.now() - ago, json.dumps(output)  # noqa: DTZ005
    return arn


def minutes(execution: str) -> int | None:
    found = age(execution)
    return None if found is None else round(found.total_seconds() / 60)


def test_success_is_as_fresh_as_its_start(machine: Any) -> None:
    ended(machine, "before", "SUCCEEDED", timedelta(minutes=9))
    assert minutes(ended(machine, "now", "SUCCEEDED", timedelta(minutes=2))) == 2


def test_failure_is_as_old_as_the_last_success(machine: Any) -> None:
    ended(machine, "good", "SUCCEEDED", timedelta(minutes=9))
    ended(machine, "bad", "FAILED", timedelta(minutes=6))
    assert minutes(ended(machine, "now", "TIMED_OUT", timedelta(minutes=2))) == 9


def test_nothing_is_told_where_nothing_ever_succeeded(machine: Any) -> None:
    assert age(ended(machine, "now", "FAILED", timedelta(minutes=2))) is None


def test_call_that_fails_is_logged_and_not_raised(machine: Any, log: io.StringIO) -> None:
    # Lambda would call the function again, and the mail would be sent twice.
    assert age(f"{NAMES.state_machine_arn.replace('stateMachine', 'execution')}:unknown") is None
    (line,) = [json.loads(text) for text in log.getvalue().splitlines()]
    assert (line["level"], line["message"], line["error"]) == (
        "WARNING",
        "freshness not known",
        "ExecutionDoesNotExist",
    )
