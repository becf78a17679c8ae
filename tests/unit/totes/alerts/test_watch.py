"""The e-mails about redriven executions, and how often they are sent.

moto can't redrive, so this module makes the answers of Step Functions itself.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.served_aws import served_aws
from tests.unit.totes.lake.test_batch_log import MANIFEST
from totes.alerts.failure import fresh_as_of
from totes.alerts.watch import age, tell
from totes.contracts.declarations import ContractInvalid
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake
from totes.runtime.settings import WatchSettings

MACHINE = "arn:aws:states:eu-west-2:123456789012:stateMachine:totes-test-pipeline"
DOCS = "https://example.com/docs"
TOPIC = "arn:aws:sns:eu-west-2:123456789012:totes-test-alerts"
SETTINGS = WatchSettings("no-landing", "no-processed", DOCS, "1h,24h", "false", TOPIC)
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
    """Makes the events of a task that succeeds at once."""
    return [
        event(minute, "TaskStateEntered") | {"stateEnteredEventDetails": {"name": name, "input": "{}"}},
        event(minute, "TaskScheduled"),
        event(minute, "TaskSucceeded"),
        event(minute, "TaskStateExited") | {"stateExitedEventDetails": {"name": name, "output": json.dumps(output)}},
    ]


def failing(minute: float, name: str, error: str) -> list[Event]:
    """Makes the events of a task that fails."""
    entered, scheduled, *_ = task(minute, name)
    return [entered, scheduled, event(minute, "TaskFailed", error=error, cause="{}")]


def told_failure(minute: float) -> list[Event]:
    """Makes the events of an attempt that lands something, and then fails with a mail."""
    return [
        *task(minute, "Ingest", INGESTED),
        *failing(minute, "Load", "WarehouseBusy"),
        *task(minute, "NotifyFailure"),
        *failing(minute + 0.1, "Failed", "WarehouseBusy"),
        event(minute + 0.1, "ExecutionFailed", error="WarehouseBusy", cause="{}"),
    ]


def leaving_failed(minute: float) -> list[Event]:
    """Makes the events of a redrive that resumes in the state Failed."""
    return [event(minute, "ExecutionRedriven", redriveCount=1), *task(minute, "Failed", {})[1:]]


class StepFunctions:
    """Answers as AWS does, and records mails."""

    def __init__(self) -> None:
        self.executions: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[Event]] = {}
        self.mails: list[tuple[str, str]] = []
        # The executions whose newest events were requested.
        self.read: list[str] = []

    def has(
        self, name: str, status: str, began: float, *events: Event, redriven: float | None = None, **more: Any
    ) -> None:
        """Returns an execution that began some minutes after START."""
        found = {"executionArn": arn(name), "name": name, "status": status, "startDate": at(began)} | more
        self.executions[arn(name)] = found | ({"redriveDate": at(redriven)} if redriven is not None else {})
        self.events[arn(name)] = [event | {"id": number} for number, event in enumerate(events, 1)]

    def ended(self, name: str) -> list[tuple[str, str]]:
        """Returns the subject and text of the mail that is sent when the rule reports an execution."""
        self.mails.clear()
        told = tell(arn(name), self.executions[arn(name)]["status"], SETTINGS)
        assert told is bool(self.mails)
        return list(self.mails)

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803  boto3's name
        return self.executions[executionArn]

    def list_executions(self, maxResults: int, statusFilter: str | None = None, **_: Any) -> dict[str, Any]:  # noqa: N803
        assert 1 <= maxResults <= 1_000
        found = self.executions.values()
        return {"executions": [one for one in found if statusFilter in (None, one["status"])]}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "get_execution_history"
        return mock.Mock(paginate=lambda **asked: [{"events": self.events[asked["executionArn"]]}])

    def get_execution_history(self, executionArn: str, reverseOrder: bool, maxResults: int) -> dict[str, Any]:  # noqa: N803
        assert reverseOrder
        self.read.append(executionArn.rpartition(":")[2])
        return {"events": self.events[executionArn][: -maxResults - 1 : -1]}

    def publish(self, **mail: str) -> None:
        assert (mail["TopicArn"], mail["MessageStructure"]) == (SETTINGS.alerts_topic, "json")
        text = json.loads(mail["Message"])["default"]
        self.mails.append((mail["Subject"].removeprefix("totes-test-pipeline: "), " ".join(text.split())))


@pytest.fixture
def steps() -> Iterator[StepFunctions]:
    """Stubs Step Functions with one execution that succeeded, at minute -5."""
    made, real = StepFunctions(), boto3.client
    made.has("good", "SUCCEEDED", -5, output=json.dumps(LOADED))

    def client(service: Any, **options: Any) -> Any:
        return made if service in ("stepfunctions", "sns") else real(service, **options)

    with served_aws(), mock.patch.object(boto3, "client", client):
        yield made


def test_failure_that_was_caught_is_told_by_the_machine_alone(steps: StepFunctions) -> None:
    steps.has("bad", "FAILED", 0, *told_failure(1), error="WarehouseBusy", cause="{}")
    assert steps.ended("bad") == []


def test_failure_that_was_not_due_is_not_told_by_the_rule(steps: StepFunctions) -> None:
    answer = {"mail": {"due": False, "repeats": {"execution": "gone", "at": at(-60).isoformat(), "mails": 1}}}
    passed_over = [
        *failing(1, "Load", "WarehouseBusy"),
        *task(1, "Report", answer),
        *failing(2, "Failed", "WarehouseBusy"),
    ]
    steps.has("bad", "FAILED", 0, *passed_over, error="WarehouseBusy", cause="{}")
    assert steps.ended("bad") == []


# AWS records the exit of a state whose error was caught; moto does not.
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
    # This is about the last attempt: the first one's rows are not counted again, and the time between them does not
    # count.
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
    assert "after 1 had failed. Until now the warehouse showed totesys as it was at 2026-11-24 08:55:00 UTC." in text
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

    # A later failure leaves the warehouse as it was.
    steps.has("bad", "FAILED", 700, *told_failure(701), error="WarehouseBusy", cause="{}")
    assert fresh_as_of(arn("bad")) == at(1)


# The content of one mail.


def timed_out(steps: StepFunctions, *events: Event, **more: Any) -> tuple[str, str]:
    """Returns the mail about an execution that ended from outside after 35 minutes."""
    steps.has("bad", "TIMED_OUT", 0, *events, **{"stopDate": at(35)} | more)
    [mail] = steps.ended("bad")
    return mail


def test_execution_that_ended_before_any_state_failed_in_ingest(steps: StepFunctions) -> None:
    subject, text = timed_out(steps)
    assert subject.startswith("Ingest timed out, ")
    assert "after 35 min and 1 attempt " in text


def test_mail_counts_attempts_and_what_the_stages_returned(steps: StepFunctions) -> None:
    load = task(3, "Load")[:2]
    other = event(1, "TaskStateExited") | {"stateExitedEventDetails": {"name": "Other", "output": "3"}}
    transformed = task(2, "Transform", {"transform": {"rows": {"dim_staff": 11, "dim_date": 365}}})
    _, text = timed_out(steps, *task(1, "Ingest", INGESTED), other, *transformed, *load, *load[1:])
    assert "and 2 attempts" in text
    assert "Rows 12 landed, 11 processed, none known to be loaded" in text


def test_wrong_declarations_stop_no_mail(steps: StepFunctions, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> list[str]:
        raise ContractInvalid("dim_staff has no key.", "Correct it.")

    monkeypatch.setattr("totes.alerts.email.calendars", wrong)
    transformed = task(2, "Transform", {"transform": {"rows": {"dim_staff": 11, "dim_date": 365}}})
    _, text = timed_out(steps, *task(1, "Ingest", INGESTED), *transformed, *task(3, "Load")[:2])
    assert "Rows 12 landed, 376 processed, none known to be loaded" in text


def test_mail_links_to_the_runbook_and_the_execution(steps: StepFunctions) -> None:
    _, text = timed_out(steps)
    assert f"Runbook {DOCS}/runbook.md#" in text
    assert f"executions/details/{arn('bad')}" in text
    steps.has("next", "SUCCEEDED", 40, output=json.dumps(LOADED))
    [(_, text)] = steps.ended("next")
    assert f"executions/details/{arn('next')}" in text


@pytest.mark.usefixtures("tokyo")
def test_mail_says_utc_and_means_it(steps: StepFunctions) -> None:
    steps.has("good", "SUCCEEDED", -5, output=json.dumps(LOADED), startDate=at(-5).astimezone())
    _, text = timed_out(steps, startDate=at(0).astimezone(), stopDate=at(35).astimezone())
    assert "shows totesys as it was at 2026-11-24 08:55:00 UTC" in text
    assert "When 2026-11-24 09:35:00 UTC" in text
    assert "start~'2026-11-24T09*3A00*3A00.000Z" in text


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts this machine's time zone to Tokyo: boto3 gives times in the machine's zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def test_mail_says_where_the_zones_end(steps: StepFunctions) -> None:
    for bucket, last in ((SETTINGS.landing_bucket, 3), (SETTINGS.processed_bucket, 2)):
        boto3.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        for batch in range(1, last + 1):
            BatchLog(Lake(bucket)).commit(replace(MANIFEST, batch=batch))
    _, text = timed_out(steps)
    assert "Batch Landed up to 3, processed up to 2; 1 waiting for Transform" in text


def test_mail_counts_failures_in_a_row(steps: StepFunctions) -> None:
    steps.has("one", "FAILED", -4, *told_failure(-4))
    steps.has("two", "ABORTED", -3)
    _, text = timed_out(steps)
    assert "In a row 3 executions have failed; the last successful one began at 2026-11-24 08:55:00 UTC" in text


def test_execution_that_left_batches_to_another_is_not_counted(steps: StepFunctions) -> None:
    steps.has("one", "FAILED", -4, *told_failure(-4))
    steps.has("aside", "SUCCEEDED", -3, output=json.dumps(STOOD_ASIDE))
    assert steps.ended("aside") == []
    _, text = timed_out(steps)
    assert "In a row 2 executions have failed; the last successful one began at 2026-11-24 08:55:00 UTC" in text


STOOD_ASIDE = {"load": {"batches": 0, "catching_up": "another"}}


def test_cause_that_is_not_given_is_not_made_up(steps: StepFunctions) -> None:
    steps.has("bad", "FAILED", 0, *task(1, "Ingest")[:2], error="States.Runtime", stopDate=at(1))
    [(_, text)] = steps.ended("bad")
    assert "Why No cause was given." in text


def test_execution_that_was_stopped_was_aborted_whatever_its_error(steps: StepFunctions) -> None:
    steps.has("bad", "ABORTED", 0, error="Mine", cause="Upgrade.", stopDate=at(1))
    [(subject, text)] = steps.ended("bad")
    assert subject.startswith("Ingest was aborted, ")
    assert "Why Upgrade." in text


def test_recovery_says_what_was_loaded(steps: StepFunctions) -> None:
    steps.has("bad", "FAILED", 0, *told_failure(1))
    steps.has("next", "SUCCEEDED", 5, output=json.dumps(LOADED))
    [(_, text)] = steps.ended("next")
    assert "It has caught up: batch 2, 1 rows added and 0 updated." in text


@pytest.mark.parametrize("output", [{}, {"output": json.dumps({"ingest": {}})}], ids=["no output", "no load"])
def test_recovery_may_load_nothing(steps: StepFunctions, output: dict[str, str]) -> None:
    steps.has("bad", "FAILED", 0, *told_failure(1))
    steps.has("next", "SUCCEEDED", 5, **output)
    [(_, text)] = steps.ended("next")
    assert "There was nothing to catch up on. The warehouse now shows totesys as it was at 2026-11-24 09:05:00" in text
    steps.has("later", "FAILED", 10, stopDate=at(11))
    [(_, text)] = steps.ended("later")
    assert "The execution before this one succeeded." in text


# The freshness of the warehouse.


@pytest.mark.parametrize(("snapshot", "fresh"), [(8, 8), (2, 5)], ids=["landed since", "landed before"])
def test_warehouse_is_as_fresh_as_the_later_of_look_and_batch(steps: StepFunctions, snapshot: int, fresh: int) -> None:
    loaded = {"load": LOADED["load"] | {"snapshot_at": at(snapshot).isoformat()}}
    steps.has("next", "SUCCEEDED", 5, output=json.dumps(loaded))
    assert fresh_as_of(arn("next")) == at(fresh)


def test_execution_that_left_batches_to_another_shows_nothing_fresher(steps: StepFunctions) -> None:
    steps.has("aside", "SUCCEEDED", 5, output=json.dumps(STOOD_ASIDE))
    assert fresh_as_of(arn("aside")) == at(-5)


def test_freshness_counts_from_the_last_success(steps: StepFunctions) -> None:
    steps.has("bad", "FAILED", 0, *told_failure(1))
    found = age(arn("bad"))
    assert found is not None
    assert abs(datetime.now(UTC) - at(-5) - found) < timedelta(minutes=1)


def test_freshness_is_unknown_before_the_first_success(steps: StepFunctions) -> None:
    steps.executions.clear()
    steps.has("bad", "FAILED", 0, *told_failure(1))
    assert fresh_as_of(arn("bad")) is None
    assert age(arn("bad")) is None


def test_freshness_is_unknown_if_step_functions_does_not_answer(
    steps: StepFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttled = ClientError({"Error": {"Code": "ThrottlingException"}}, "DescribeExecution")
    monkeypatch.setattr(steps, "describe_execution", mock.Mock(side_effect=throttled))
    assert age(arn("good")) is None
