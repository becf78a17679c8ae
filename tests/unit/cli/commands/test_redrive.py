"""`totes redrive` of executions that ended as none of moto's does.

botocore's Stubber answers, and checks the requests.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from cli.deployment import Target
from cli.main import main
from totes.runtime.names import Names

NAMES = Names("dev", "123456789012", "eu-west-2")
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def arn(name: str) -> str:
    return f"arn:aws:states:eu-west-2:123456789012:execution:totes-dev-pipeline:{name}"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Stubs Step Functions of stage dev: the expected requests in order, and their answers."""
    client = boto3.client("stepfunctions")
    monkeypatch.setattr(Target, "connect", lambda _: NAMES)
    monkeypatch.setattr(boto3, "client", lambda _, **__: client)
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
    }
    ended = {"stopDate": START + timedelta(minutes=25)} if status != "RUNNING" else {}
    steps.add_response("describe_execution", answer | ended | more, {"executionArn": arn(name)})


def is_known(steps: Stubber, name: str, status: str, **more: Any) -> None:
    """Stubs the search for an execution by its name, and then its description."""
    describes(steps, name, status, **more)
    is_read(steps, name, status, **more)


def is_read(steps: Stubber, name: str, status: str, **more: Any) -> None:
    describes(steps, name, status, **more)
    steps.add_response("get_execution_history", {"events": []}, {"executionArn": arn(name)})


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


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_new_execution_starts_with_the_same_input(
    steps: Stubber, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr("cli.commands.redrive.unique_name", lambda origin: f"{origin}-1")
    full_read = '{"full_read": ["staff"]}'
    # At any time in the past: AWS would redrive for 14 days.
    is_known(steps, "bad", status, redriveStatus="NOT_REDRIVABLE", input=full_read)
    steps.add_response(
        "start_execution",
        {"executionArn": arn("redrive-1"), "startDate": START},
        {"stateMachineArn": NAMES.state_machine_arn, "name": "redrive-1", "input": full_read},
    )
    is_read(steps, "redrive-1", "FAILED", error="ContractViolation", cause='{"errorMessage": "As before."}')
    assert main(["redrive", "bad", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["name"], document["redrive_of"]) == ("redrive-1", "bad")
    assert (document["status"], document["cause"]) == ("FAILED", "As before.")


def test_newest_of_all_that_did_not_succeed_is_taken(steps: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    for name, status, hour in (("failed", "FAILED", 1), ("slow", "TIMED_OUT", 3), ("stopped", "ABORTED", 2)):
        lists(steps, name, status, hour, statusFilter=status)
    is_read(steps, "slow", "RUNNING")
    assert main(["redrive"]) == 2
    assert "Execution slow still runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "more", "complaint"),
    [
        ("RUNNING", {}, "Execution x still runs: follow it with `totes logs x --follow`."),
        (
            "SUCCEEDED",
            {},
            "Execution x SUCCEEDED: nothing is left to redrive. Start a new one with `totes run`.",
        ),
        (
            "SUCCEEDED",
            {"input": '{"full_read": ["staff"]}'},
            "Execution x SUCCEEDED: nothing is left to redrive. Start a new one with `totes run --full-read staff`.",
        ),
    ],
    ids=["runs", "succeeded", "succeeded with an input"],
)
def test_what_needs_no_redrive_says_what_to_do(
    steps: Stubber, capsys: pytest.CaptureFixture[str], status: str, more: dict[str, str], complaint: str
) -> None:
    is_known(steps, "x", status, **more)
    assert main(["redrive", "x"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"totes: {complaint}\n")
