"""The e-mails of long outages: the shipped function behind Report, called at each failure of a five-minute schedule.

A stand-in for Step Functions answers as AWS does, and records its requests. It has a clock of its own.
"""

import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import boto3
import pytest

from functions import report
from local.lambda_runtime.worker import LambdaContext
from tests.unit.totes.alerts.test_watch import DOCS, LOADED, TOPIC, Event, StepFunctions, arn, at, event, failing, task
from totes.alerts.watch import tell
from totes.runtime.settings import WatchSettings

SETTINGS = WatchSettings("landing", "processed", DOCS, "1h,24h", "false", TOPIC)
EVERY = 5
HOUR = 60
DOWN, SOURCE_DOWN = ("Load", "WarehouseUnreachable"), ("Ingest", "SourceUnreachable")
CONTEXT = LambdaContext("totes-test-report", 256, "arn:aws:lambda:eu-west-2:1:function:report", "request", 0)


class Schedule:
    """Executions of the schedule, one every five minutes.

    Attributes:
        mails: each with the minute at which it was sent.
        most_read: the most executions whose histories were read for one failure.
    """

    def __init__(self, steps: StepFunctions) -> None:
        self.steps = steps
        self.mails: list[tuple[float, str]] = []
        self.texts: list[str] = []
        self.most_read = 0

    def fails(self, minute: float, stage: str, error: str, *, tables: str = "", is_sent: bool = True) -> None:
        labelled = f"It took {minute} s." + (f"\nTables: {tables}" if tables else "") + "\nRemedy: Wait."
        failure = {"State": stage, "Error": error, "Cause": {"errorMessage": labelled}}
        entered = report_entered(minute + 1, failure)
        self.steps.has(f"at-{minute}", "RUNNING", minute, *failing(minute, stage, error), entered)
        self.steps.read.clear()
        made = report.handler({"execution": arn(f"at-{minute}"), "failure": failure}, CONTEXT)
        self.most_read = max(self.most_read, len(self.steps.read))
        mail = {name: made[name] for name in ("due", "subject", "message", "repeats")}
        events = [*failing(minute, stage, error), entered, *report_left(minute + 1, {"failure": failure, "mail": mail})]
        if made["due"]:
            self._take(minute, made["subject"], made["message"]["default"], is_sent=is_sent)
            events += (
                task(minute + 1, "NotifyFailure") if is_sent else failing(minute + 1, "NotifyFailure", "SNS.Error")
            )
        events += failing(minute + 1, "Failed", error)
        self.steps.has(
            f"at-{minute}",
            "FAILED",
            minute,
            *events,
            ended(minute + 1, "ExecutionFailed", error),
            stopDate=at(minute + 1),
        )

    def is_stopped(self, minute: float) -> None:
        self.steps.has(
            f"at-{minute}",
            "ABORTED",
            minute,
            *task(minute, "Ingest")[:2],
            ended(minute + 1, "ExecutionAborted"),
            stopDate=at(minute + 1),
        )
        self._tell(minute)

    def succeeds(self, minute: float) -> None:
        self.steps.has(f"at-{minute}", "SUCCEEDED", minute, output=json.dumps(LOADED), stopDate=at(minute + 1))
        self._tell(minute)

    def _tell(self, minute: float) -> None:
        self.steps.mails.clear()
        self.steps.read.clear()
        tell(arn(f"at-{minute}"), self.steps.executions[arn(f"at-{minute}")]["status"], SETTINGS)
        self.most_read = max(self.most_read, len(self.steps.read))
        for subject, text in self.steps.mails:
            self._take(minute, subject, text, is_sent=True)

    def _take(self, minute: float, subject: str, text: str, *, is_sent: bool) -> None:
        if is_sent:
            self.mails.append((minute / HOUR, subject.removeprefix("totes-test-pipeline: ")))
            self.texts.append(text)

    @property
    def hours(self) -> list[float]:
        """Returns the minutes at which mails were sent."""
        return [round(hours, 2) for hours, _ in self.mails]


def report_entered(minute: float, failure: dict[str, Any]) -> Event:
    details = {"name": "Report", "input": json.dumps({"failure": failure})}
    return event(minute, "TaskStateEntered") | {"stateEnteredEventDetails": details}


def report_left(minute: float, output: dict[str, Any]) -> list[Event]:
    details = {"name": "Report", "output": json.dumps(output)}
    return [event(minute, "TaskStateExited") | {"stateExitedEventDetails": details}]


def ended(minute: float, kind: str, error: str = "") -> Event:
    return event(minute, kind, **({"error": error, "cause": "{}"} if error else {}))


@pytest.fixture
def schedule(monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> Iterator[Schedule]:
    steps = StepFunctions()
    monkeypatch.setattr("totes.alerts.failure._last", lambda _: 1)
    monkeypatch.setattr(boto3, "client", lambda *_, **__: steps)
    for name, value in vars(SETTINGS).items():
        monkeypatch.setenv(f"TOTES_{name.upper()}", value)
    with mock.patch("totes.runtime.aws._client", return_value=steps):
        made = Schedule(steps)
        made.succeeds(-EVERY)
        yield made


def test_weekend_of_one_failure_is_five_mails(schedule: Schedule) -> None:
    for minute in range(0, 60 * HOUR, EVERY):
        schedule.fails(minute, *DOWN)
    schedule.succeeds(60 * HOUR)

    assert schedule.mails == [
        (0, "Load failed with WarehouseUnreachable, 6 min behind"),
        (1, "13 failures since 2026-11-24 09:00 UTC: Load failed with WarehouseUnreachable"),
        (25, "301 failures since 2026-11-24 09:00 UTC: Load failed with WarehouseUnreachable"),
        (49, "589 failures since 2026-11-24 09:00 UTC: Load failed with WarehouseUnreachable"),
        (60, "recovered after 720 executions that failed"),
    ]
    # The previous mail says everything.
    assert schedule.most_read == 2
    first, second = (" ".join(text.split()) for text in schedule.texts[:2])
    assert "Next e-mail In 1 hour, if this failure persists; at once for a different failure." in first
    assert "Repeats" not in first
    assert "Next e-mail In 24 hours, if this failure persists" in second
    assert "Repeats This is e-mail 2 about this failure; execution at-0 sent the previous one at 2026-11-24" in second


def test_two_failures_by_turns_are_three_mails_each_in_26_hours(schedule: Schedule) -> None:
    for minute in range(0, 26 * HOUR, 2 * EVERY):
        schedule.fails(minute, *DOWN)
        schedule.fails(minute + EVERY, *SOURCE_DOWN)
    told = Counter(subject.rpartition(" with ")[2].partition(",")[0] for _, subject in schedule.mails)
    assert told == {"WarehouseUnreachable": 3, "SourceUnreachable": 3}
    assert schedule.hours == [0, 0.08, 1, 1.08, 25, 25.08]
    assert schedule.most_read == 3


def test_another_failure_at_hour_twenty_is_a_first_one(schedule: Schedule) -> None:
    for minute in range(0, 48 * HOUR, EVERY):
        schedule.fails(minute, *(DOWN if minute < 20 * HOUR else SOURCE_DOWN))
    assert schedule.hours == [0, 1, 20, 21, 45]
    assert schedule.mails[2][1] == "Ingest failed with SourceUnreachable, 20 h behind"
    assert "241 executions have failed" in schedule.texts[2]
    # Report has to be sure that this failure is new.
    assert schedule.most_read == 100


def test_failure_after_a_recovery_is_a_first_one(schedule: Schedule) -> None:
    for minute in (0, 5, 10):
        schedule.fails(minute, *DOWN)
    schedule.succeeds(15)
    for minute in (20, 25):
        schedule.fails(minute, *DOWN)
    assert [subject.partition(",")[0] for _, subject in schedule.mails] == [
        "Load failed with WarehouseUnreachable",
        "recovered after 3 executions that failed",
        "Load failed with WarehouseUnreachable",
    ]


def test_same_error_of_another_table_is_a_first_one(schedule: Schedule) -> None:
    for minute, tables in enumerate(["staff", "payment", "staff", "payment, staff", "payment"]):
        schedule.fails(minute * EVERY, "Ingest", "ContractViolation", tables=tables)
    assert schedule.hours == [0, 0.08, 0.25]


def test_mail_that_sns_refuses_does_not_silence_the_next(schedule: Schedule) -> None:
    for minute in range(0, 3 * HOUR, EVERY):
        schedule.fails(minute, *DOWN, is_sent=minute not in (0, EVERY, 70, 75))
    # The first two were refused, and the two in the hour after the third.
    assert schedule.hours == [0.17, 1.33]


def test_weekend_of_executions_that_somebody_stops_is_told_as_seldom(schedule: Schedule) -> None:
    for minute in range(0, 6 * HOUR, EVERY):
        schedule.is_stopped(minute)
    assert schedule.hours == [0, 1]
    assert schedule.most_read <= 100


def test_execution_that_runs_beside_counts_once_it_has_told(schedule: Schedule) -> None:
    schedule.fails(0, *DOWN)
    told = schedule.steps.executions[arn("at-0")]
    del told["stopDate"]
    told["status"] = "RUNNING"
    schedule.fails(EVERY, *DOWN)
    assert schedule.hours == [0]


def test_slow_execution_that_began_earlier_is_told_by_the_same_rule(schedule: Schedule) -> None:
    schedule.fails(10, *DOWN)
    # It began before the other one, and failed after it.
    schedule.fails(5, *DOWN)
    assert schedule.hours == [0.17]


def redriven(schedule: Schedule, minute: float) -> Any:
    """Returns Report's answer when the execution of minute 0 is redriven and fails in the same way."""
    failure = {"State": DOWN[0], "Error": DOWN[1], "Cause": {"errorMessage": "Again."}}
    events = [event(minute, "ExecutionRedriven"), *task(minute, "Failed", {})[1:], *failing(minute, *DOWN)]
    before = [one for one in schedule.steps.events[arn("at-0")] if one["timestamp"] <= at(1)]
    schedule.steps.has("at-0", "RUNNING", 0, *before, *events, report_entered(minute, failure), redriven=minute)
    return report.handler({"execution": arn("at-0"), "failure": failure}, CONTEXT)


def test_redrive_that_fails_as_before_hours_later_follows_the_rule(schedule: Schedule) -> None:
    schedule.fails(0, *DOWN)
    made = [redriven(schedule, minute) for minute in (30, 90)]
    assert [(answer["due"], answer["repeats"]["execution"]) for answer in made] == [(False, "at-0"), (True, "at-0")]


def test_redrive_after_a_recovery_is_told_at_once(schedule: Schedule) -> None:
    schedule.fails(0, *DOWN)
    schedule.succeeds(5)
    made = redriven(schedule, 10)
    assert (made["due"], made["repeats"]) == (True, None)


def test_more_failures_than_it_looks_at_are_not_miscounted(schedule: Schedule) -> None:
    minutes = range(0, 1_005 * EVERY, EVERY)
    for minute in minutes:
        schedule.steps.has(
            f"at-{minute}",
            "FAILED",
            minute,
            *failing(minute, *DOWN),
            ended(minute, "ExecutionFailed", DOWN[1]),
            stopDate=at(minute),
        )
    listed = schedule.steps.list_executions

    def newest(maxResults: int, **asked: Any) -> dict[str, Any]:  # noqa: N803  boto3's name
        found = sorted(listed(maxResults, **asked)["executions"], key=lambda one: one["startDate"])
        return {"executions": found[: -maxResults - 1 : -1]}

    schedule.steps.list_executions = newest  # type: ignore[assignment]
    schedule.fails(minutes[-1] + EVERY, *SOURCE_DOWN)
    schedule.succeeds(minutes[-1] + 2 * EVERY)
    # The last success is found, nevertheless.
    assert schedule.mails[0][1] == "Ingest failed with SourceUnreachable, 3 days behind"
    assert "At least 1,000 executions have failed (older ones were not counted)" in " ".join(schedule.texts[0].split())
    assert schedule.mails[1][1] == "recovered after at least 999 executions that failed"
