"""Redrives on AWS: moto has none, so botocore's Stubber answers, and checks what is asked."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from console.deployment import Target
from console.main import main
from totes.names import Names

NAMES = Names("dev", "123456789012", "eu-west-2")
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def arn(name: str) -> str:
    return f"arn:aws:states:eu-west-2:123456789012:execution:totes-dev-pipeline:{name}"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Step Functions of stage dev: what it is asked, in order, and what it answers."""
    client = boto3.client("stepfunctions")
    monkeypatch.setattr(Target, "connect", lambda _: NAMES)
    monkeypatch.setattr(boto3, "client", lambda _: client)
    monkeypatch.setattr("console.redrive.POLL_SECONDS", 0)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def describes(steps: Stubber, name: str, status: str, **more: Any) -> None:
    answer = {
        "executionArn": arn(name),
        "stateMachineArn": NAMES.state_machine_arn,
        "name": name,
        "status": status,
        "startDate": START,
        "input": "{}",
        "redriveCount": 0,
    }
    ended = {"stopDate": START + timedelta(minutes=25)} if status != "RUNNING" else {}
    steps.add_response("describe_execution", answer | ended | more, {"executionArn": arn(name)})


def tells_history(steps: Stubber, name: str, *kinds: str) -> None:
    events = [
        {"id": number + 1, "type": kind, "timestamp": START + timedelta(seconds=number)}
        | ({"stateEnteredEventDetails": {"name": kind.removesuffix("StateEntered")}} if "Entered" in kind else {})
        for number, kind in enumerate(kinds)
    ]
    steps.add_response("get_execution_history", {"events": events}, {"executionArn": arn(name)})


def lists(steps: Stubber, name: str, status: str, hour: int = 0, **asked: str) -> None:
    execution = {
        "executionArn": arn(name),
        "stateMachineArn": NAMES.state_machine_arn,
        "name": name,
        "status": status,
        "startDate": START + timedelta(hours=hour),
    }
    expected = {"stateMachineArn": NAMES.state_machine_arn, "maxResults": 1} | asked
    steps.add_response("list_executions", {"executions": [execution]}, expected)


TIMED_OUT = ("ExecutionStarted", "TaskStateEntered", "TaskScheduled", "ExecutionTimedOut")


def test_execution_that_timed_out_goes_on(steps: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    describes(steps, "slow", "TIMED_OUT")
    describes(steps, "slow", "TIMED_OUT", redriveStatus="REDRIVABLE")
    tells_history(steps, "slow", *TIMED_OUT)
    lists(steps, "slow", "TIMED_OUT")
    steps.add_response("redrive_execution", {"redriveDate": START}, {"executionArn": arn("slow")})
    # The first answer is as old as AWS allows: it must not be taken for the outcome.
    describes(steps, "slow", "TIMED_OUT")
    describes(steps, "slow", "RUNNING", redriveCount=1)
    describes(steps, "slow", "SUCCEEDED", output="{}", redriveCount=1)
    tells_history(steps, "slow", *TIMED_OUT, "ExecutionRedriven", "TaskScheduled", "TaskSucceeded", "TaskStateExited")
    assert main(["redrive", "slow"]) == 0
    shown = capsys.readouterr().out
    assert "Execution slow of 2026-11-24 09:00:00 UTC ended TIMED_OUT.\nIt is redriven.\n" in shown
    assert "SUCCEEDED" in shown


def test_execution_that_ended_in_a_fail_state_is_started_anew(
    steps: Stubber, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.redrive.unique_name", lambda origin: f"{origin}-1")
    full_read = '{"full_read": ["staff"]}'
    describes(steps, "bad", "FAILED")
    describes(steps, "bad", "FAILED", redriveStatus="REDRIVABLE", input=full_read)
    tells_history(steps, "bad", "ExecutionStarted", "TaskStateEntered", "TaskStateExited", "FailStateEntered")
    steps.add_response(
        "start_execution",
        {"executionArn": arn("redrive-1"), "startDate": START},
        {"stateMachineArn": NAMES.state_machine_arn, "name": "redrive-1", "input": full_read},
    )
    describes(steps, "redrive-1", "FAILED", error="ContractBroken", cause="As before.")
    tells_history(steps, "redrive-1", "ExecutionStarted")
    assert main(["redrive", "bad", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["name"], document["redrive_of"], document["new_execution"]) == ("redrive-1", "bad", True)
    assert (document["status"], document["cause"]) == ("FAILED", "As before.")


def test_newest_of_all_that_did_not_succeed_is_taken(steps: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    for name, status, hour in (("failed", "FAILED", 1), ("slow", "TIMED_OUT", 3), ("stopped", "ABORTED", 2)):
        lists(steps, name, status, hour, statusFilter=status)
    describes(steps, "slow", "RUNNING")
    assert main(["redrive"]) == 2
    assert "Execution slow still runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "more", "complaint"),
    [
        ("RUNNING", {}, "Execution x still runs: follow it with `totes logs x --follow`."),
        (
            "SUCCEEDED",
            {"redriveStatus": "NOT_REDRIVABLE"},
            "Execution x SUCCEEDED: nothing is left to redrive. Start a new one with `totes run`.",
        ),
        (
            "FAILED",
            {
                "redriveStatus": "NOT_REDRIVABLE",
                "redriveStatusReason": "Execution redrivable period exceeded.",
                "input": '{"full_read": ["staff"]}',
            },
            "Execution x can't be redriven any more: Execution redrivable period exceeded. "
            'Start a new one with `totes run --input \'{"full_read": ["staff"]}\'`.',
        ),
    ],
    ids=["runs", "succeeded", "too old"],
)
def test_what_cannot_be_redriven_says_what_to_do(
    steps: Stubber, capsys: pytest.CaptureFixture[str], status: str, more: dict[str, str], complaint: str
) -> None:
    describes(steps, "x", status)
    describes(steps, "x", status, **more)
    assert main(["redrive", "x"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"totes: {complaint}\n")
