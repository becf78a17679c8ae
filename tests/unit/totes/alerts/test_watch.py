"""What is told of executions that were redriven, and how often.

moto redrives nothing, so what Step Functions answers is made here.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import boto3
import pytest
from moto import mock_aws

from totes.alerts.failure import fresh_as_of
from totes.alerts.watch import tell
from totes.runtime.settings import WatchSettings

MACHINE = "arn:aws:states:eu-west-2:123456789012:stateMachine:totes-test-pipeline"
SETTINGS = WatchSettings("no-landing", "no-processed", "docs", "arn:aws:sns:eu-west-2:123456789012:totes-test-alerts")
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
INGESTED = {"ingest": {"batch": 2, "rows": {"staff": 12}}}
LOADED = {"load": {"batches": 1, "first": 2, "last": 2, "inserted": {"dim_staff": 1}, "updated": {}}}
Event = dict[str, Any]


def arn(name: str) -> str:
    return f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def event(minute: float, kind: str, **details: Any) -> Event:
    return {"timestamp": at(minute), "type": kind, f"{kind[0].lower()}{kind[1:]}EventDetails": details}


def task(minute: float, name: str, output: Any = None) -> list[Event]:
    """A task that succeeds at once."""
    return [
        event(minute, "TaskStateEntered") | {"stateEnteredEventDetails": {"name": name, "input": "{}"}},
        event(minute, "TaskScheduled"),
        event(minute, "TaskSucceeded"),
        event(minute, "TaskStateExited") | {"stateExitedEventDetails": {"name": name, "output": json.dumps(output)}},
    ]


def failing(minute: float, name: str, error: str) -> list[Event]:
    """A task that fails."""
    entered, scheduled, *_ = task(minute, name)
    return [entered, scheduled, event(minute, "TaskFailed", error=error, cause="{}")]


def told_failure(minute: float) -> list[Event]:
    """An attempt that lands something, and then fails with a mail."""
    return [
        *task(minute, "Ingest", INGESTED),
        *failing(minute, "Load", "WarehouseBusy"),
        *task(minute, "NotifyFailure"),
        *failing(minute, "Failed", "WarehouseBusy"),
        event(minute, "ExecutionFailed", error="WarehouseBusy", cause="{}"),
    ]


def leaving_failed(minute: float) -> list[Event]:
    """A redrive that goes on from the state Failed."""
    return [event(minute, "ExecutionRedriven", redriveCount=1), *task(minute, "Failed", {})[1:]]


class StepFunctions:
    """Answers as AWS does, and takes mails."""

    def __init__(self) -> None:
        self.executions: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[Event]] = {}
        self.mails: list[tuple[str, str]] = []

    def has(
        self, name: str, status: str, began: float, *events: Event, redriven: float | None = None, **more: Any
    ) -> None:
        """An execution that began some minutes after START."""
        found = {"executionArn": arn(name), "name": name, "status": status, "startDate": at(began)} | more
        self.executions[arn(name)] = found | ({"redriveDate": at(redriven)} if redriven is not None else {})
        self.events[arn(name)] = list(events)

    def ended(self, name: str) -> list[tuple[str, str]]:
        """Subject and text of what is sent when the rule calls for an execution."""
        self.mails.clear()
        tell(arn(name), self.executions[arn(name)]["status"], SETTINGS)
        return list(self.mails)

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803  boto3's name
        return self.executions[executionArn]

    def list_executions(self, statusFilter: str | None = None, **_: Any) -> dict[str, Any]:  # noqa: N803
        found = self.executions.values()
        return {"executions": [one for one in found if statusFilter in (None, one["status"])]}

    def get_paginator(self, _: str) -> Any:
        return mock.Mock(paginate=lambda **asked: [{"events": self.events[asked["executionArn"]]}])

    def publish(self, **mail: str) -> None:
        assert mail["TopicArn"] == SETTINGS.alerts_topic
        self.mails.append((mail["Subject"].removeprefix("totes-test-pipeline: "), " ".join(mail["Message"].split())))


@pytest.fixture
def steps() -> Iterator[StepFunctions]:
    """Step Functions: one execution has succeeded, at minute -5."""
    made, real = StepFunctions(), boto3.client
    made.has("good", "SUCCEEDED", -5, output=json.dumps(LOADED))

    def client(service: Any, **options: Any) -> Any:
        return made if service in ("stepfunctions", "sns") else real(service, **options)

    with mock_aws(), mock.patch.object(boto3, "client", client):
        yield made


def test_failure_that_was_caught_is_told_by_the_machine_alone(steps: StepFunctions) -> None:
    steps.has("bad", "FAILED", 0, *told_failure(1), error="WarehouseBusy", cause="{}")
    assert steps.ended("bad") == []


# AWS notes the exit of a state whose error was caught; moto does not.
@pytest.mark.parametrize("left", [[], task(1, "NotifyFailure")[-1:]], ids=["without its exit", "with its exit"])
def test_failure_whose_mail_was_not_sent_is_told_as_its_function_said_it(
    steps: StepFunctions, left: list[Event]
) -> None:
    unsent = [*failing(1, "Load", "WarehouseBusy"), *failing(1, "NotifyFailure", "SNS.InternalError"), *left]
    cause = json.dumps(
        {"errorMessage": "Locked.\nRemedy: Wait.", "errorType": "WarehouseBusy", "stackTrace": ["a frame"]}
    )
    steps.has("bad", "FAILED", 0, *unsent, *failing(2, "Failed", "WarehouseBusy"), error="WarehouseBusy", cause=cause)
    [(subject, text)] = steps.ended("bad")
    assert subject.startswith("Load failed with WarehouseBusy, ")
    assert " Why Locked. Rows " in text
    assert " DO THIS Wait. " in text
    assert "a frame" not in text


@pytest.mark.parametrize("status", ["TIMED_OUT", "ABORTED"])
def test_redriven_execution_that_no_catch_saw_is_told_though_its_first_attempt_was(
    steps: StepFunctions, status: str
) -> None:
    again = [*leaving_failed(10), *task(10, "Ingest")[:2]]
    steps.has("bad", status, 0, *told_failure(1), *again, redriven=10, stopDate=at(35))
    [(subject, text)] = steps.ended("bad")
    assert subject.startswith("Ingest ")
    # Of the last attempt: what the first one landed is not counted again, and the time between is no time it took.
    assert "after 25 min and 1 attempt" in text
    assert "Rows none loaded" in text


def test_redriven_execution_that_failed_again_with_a_mail_is_not_told_twice(steps: StepFunctions) -> None:
    again = [*leaving_failed(10), *told_failure(11)]
    steps.has("bad", "FAILED", 0, *told_failure(1), *again, redriven=10, error="WarehouseBusy", cause="{}")
    assert steps.ended("bad") == []


def test_redrive_that_lambda_did_not_take_is_told(steps: StepFunctions) -> None:
    again = [
        event(10, "ExecutionRedriven"),
        event(10, "TaskScheduled"),
        event(10, "TaskFailed", error="Lambda.Unknown"),
    ]
    steps.has("bad", "FAILED", 0, *told_failure(1), *again, redriven=10, error="Lambda.Unknown", cause="Gone.")
    [(subject, text)] = steps.ended("bad")
    assert " failed with Lambda.Unknown, " in subject
    assert " Why Gone. " in text


def test_mail_that_was_sent_by_a_redrive_counts(steps: StepFunctions) -> None:
    stopped = [*failing(1, "Load", "WarehouseBusy"), *task(2, "NotifyFailure")[:2], event(2, "ExecutionAborted")]
    sent = [event(10, "ExecutionRedriven"), *task(10, "NotifyFailure")[1:], *failing(10, "Failed", "WarehouseBusy")]
    steps.has("bad", "FAILED", 0, *stopped, *sent, redriven=10, error="WarehouseBusy", cause="{}")
    assert steps.ended("bad") == []


def test_redrive_that_succeeds_is_the_recovery(steps: StepFunctions) -> None:
    again = [*leaving_failed(10), *task(10, "Ingest", INGESTED), event(11, "ExecutionSucceeded")]
    steps.has("bad", "SUCCEEDED", 0, *told_failure(1), *again, redriven=10, output=json.dumps(LOADED))
    [(subject, text)] = steps.ended("bad")
    assert subject == "recovered after 1 execution that failed"
    assert "after 1 that had not. Until now the warehouse showed totesys as it was at 2026-11-24 08:55:00 UTC." in text
    assert "shows totesys as it was at 2026-11-24 09:10:00 UTC" in text


def test_redrive_behind_ingest_shows_totesys_as_it_was_then(steps: StepFunctions) -> None:
    before = [*task(1, "Ingest", INGESTED), *task(2, "Load")[:2], event(25, "ExecutionTimedOut")]
    again = [event(600, "ExecutionRedriven"), *task(600, "Load", LOADED)[1:], event(600, "ExecutionSucceeded")]
    steps.has("slow", "SUCCEEDED", 0, *before, *again, redriven=600, output=json.dumps(LOADED))
    [(_, text)] = steps.ended("slow")
    assert "shows totesys as it was at 2026-11-24 09:01:00 UTC" in text


def test_redrive_counts_the_failures_since(steps: StepFunctions) -> None:
    steps.has("other", "FAILED", 5, *told_failure(6))
    again = [*leaving_failed(10), *task(10, "Ingest", INGESTED)]
    steps.has("bad", "SUCCEEDED", 0, *told_failure(1), *again, redriven=10, output=json.dumps(LOADED))
    assert [subject for subject, _ in steps.ended("bad")] == ["recovered after 2 executions that failed"]


def test_recovery_is_told_once_though_the_next_began_after_the_failures(steps: StepFunctions) -> None:
    steps.has("other", "FAILED", 5, *told_failure(6))
    again = [*leaving_failed(10), *task(10, "Ingest", INGESTED)]
    steps.has("bad", "SUCCEEDED", 0, *told_failure(1), *again, redriven=10, output=json.dumps(LOADED))
    steps.has("next", "SUCCEEDED", 15, output=json.dumps(LOADED))
    assert steps.ended("next") == []


def test_redrive_of_what_is_over_is_no_recovery(steps: StepFunctions) -> None:
    steps.has("next", "SUCCEEDED", 5, output=json.dumps(LOADED))
    again = [*leaving_failed(10), *task(10, "Ingest", INGESTED)]
    steps.has("bad", "SUCCEEDED", 0, *told_failure(1), *again, redriven=10, output=json.dumps(LOADED))
    assert steps.ended("bad") == []


def test_failure_after_a_redrive_that_succeeded_is_the_first_in_a_row(steps: StepFunctions) -> None:
    again = [*leaving_failed(10), *task(10, "Ingest", INGESTED)]
    steps.has("bad", "SUCCEEDED", 0, *told_failure(1), *again, redriven=10, output=json.dumps(LOADED))
    steps.has("slow", "TIMED_OUT", 15, *task(15, "Ingest")[:2], stopDate=at(40))
    [(_, text)] = steps.ended("slow")
    assert "The execution before this one succeeded." in text
    assert "still shows totesys as it was at 2026-11-24 09:10:00 UTC" in text


def test_redrive_that_came_later_takes_no_recovery_away(steps: StepFunctions) -> None:
    steps.has("other", "FAILED", 5, *told_failure(6))
    steps.has("next", "SUCCEEDED", 15, output=json.dumps(LOADED))
    again = [*leaving_failed(20), *task(20, "Ingest", INGESTED)]
    steps.has("bad", "SUCCEEDED", 0, *told_failure(1), *again, redriven=20, output=json.dumps(LOADED))
    assert [subject for subject, _ in steps.ended("next")] == ["recovered after 1 execution that failed"]


def test_warehouse_is_as_fresh_as_the_last_time_that_a_redrive_asked_totesys(steps: StepFunctions) -> None:
    again = [*leaving_failed(10), *task(10, "Ingest", INGESTED), event(11, "ExecutionSucceeded")]
    steps.has("anew", "SUCCEEDED", 0, *told_failure(1), *again, redriven=10, output=json.dumps(LOADED))
    assert fresh_as_of(arn("anew")) == at(10)

    before = [*task(1, "Ingest", INGESTED), *task(2, "Load")[:2], event(25, "ExecutionTimedOut")]
    behind = [event(600, "ExecutionRedriven"), *task(600, "Load", LOADED)[1:], event(600, "ExecutionSucceeded")]
    steps.has("behind", "SUCCEEDED", 0, *before, *behind, redriven=600, output=json.dumps(LOADED))
    assert fresh_as_of(arn("behind")) == at(1)

    # One that fails later leaves the warehouse as it was.
    steps.has("bad", "FAILED", 700, *told_failure(701), error="WarehouseBusy", cause="{}")
    assert fresh_as_of(arn("bad")) == at(1)
