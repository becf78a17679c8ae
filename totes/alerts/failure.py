"""Reads how an execution ended from Step Functions and the lake's logs: the content of the e-mails."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from totes.alerts.attempts import LOOKED_AT, REPORT, REPORTER, failures_before, left_the_rest
from totes.alerts.email import Failure, Recovery, Standing
from totes.alerts.executions import SUCCEEDED, Execution, StateRun, fold, latest, readable, stood_aside
from totes.alerts.repeats import Decision, Intervals, Kind, decide
from totes.errors import TotesError, split_labels
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake
from totes.runtime.aws import client
from totes.runtime.log import logger
from totes.runtime.names import STAGES, Names, names_of_execution

# The last state of an execution that failed. An execution that leaves this state was redriven and starts over.
END = "Failed"
_UNFINISHED = ("RUNNING", "PENDING_REDRIVE")


@dataclass(frozen=True)
class Caught:
    """The error that a Catch of the state machine passes on."""

    state: str
    error: str
    cause: str


@dataclass(frozen=True)
class Zones:
    """The buckets whose logs show how far the pipeline has come."""

    landing_bucket: str
    processed_bucket: str


@dataclass(frozen=True)
class Streak:
    """The executions in a row that had not succeeded before one began.

    Attributes:
        failed: newest first.
        good: the last successful execution before them; None if there is none.
        is_whole: whether `failed` has all of them; at most 1,000 executions are read.
    """

    failed: Sequence[Execution]
    good: Execution | None
    is_whole: bool = True

    @property
    def since(self) -> datetime | None:
        """Returns when the first of them began."""
        return self.failed[-1].began if self.failed else None


def failure_of(execution: str, zones: Zones, docs: str, caught: Caught | None = None) -> Failure:
    """Returns the failure of an execution.

    Args:
        execution: its ARN.
        caught: the error that a Catch passed on, while the execution still runs. If None, the execution has ended, and
            Step Functions knows its error.
    """
    names, events = names_of_execution(execution), _history(execution)
    found = client("stepfunctions").describe_execution(executionArn=execution)
    began = _began(found)
    stages = [state for state in fold(events) if state.name in STAGES]
    last = stages[-1] if stages else StateRun(STAGES[0], began)
    end = caught or Caught(last.name, *_end(found))
    what, remedy, tables = split_labels(end.cause)
    return Failure(
        names=names,
        execution=execution,
        state=end.state,
        error=end.error,
        found=what,
        remedy=remedy,
        started=began.astimezone(UTC),
        failed=_failed(events, found),
        attempts=last.attempts,
        results=_results(events),
        standing=_standing(names, execution, began, zones),
        docs=docs,
        tables=tables,
    )


def decision_on(failure: Failure, intervals: Intervals) -> Decision:
    """Decides whether a failure sends an e-mail, by the failures since the last success."""
    kind = Kind(failure.state, failure.error, failure.tables)
    return decide(kind, failure.failed, failures_before(failure.names, failure.execution), intervals)


def recovery_of(execution: str) -> Recovery | None:
    """Returns the recovery that a successful execution brought; None if the executions before it had succeeded, too."""
    names = names_of_execution(execution)
    found = client("stepfunctions").describe_execution(executionArn=execution)
    streak = _before(names, execution, _began(found))
    events = _history(execution) if found.get("redriveDate") else []
    failures = len(streak.failed) + _had_failed(events, streak.good)
    output = json.loads(found.get("output") or "{}")
    if not failures or stood_aside(output):
        return None
    return Recovery(
        names=names,
        execution=execution,
        succeeded=_shown_by(output, _asked(events, found["startDate"])),
        failures=failures,
        since=_last_success_at(streak.good),
        counted_all=streak.is_whole,
        loaded=output.get("load", {}),
    )


def fresh_as_of(execution: str) -> datetime | None:
    """Returns the moment of totesys that the warehouse shows at least, after an execution has ended.

    This is when the last successful execution read totesys: if it found nothing new, the warehouse is as fresh as that
    look, although no batch was loaded. If the execution also loaded batches that others had landed later, it is the
    moment of the last batch. Executions that left batches to another one don't count. None if no execution counts.
    """
    found = client("stepfunctions").describe_execution(executionArn=execution)
    # The execution itself comes first: it may not be in the list of executions yet.
    output = json.loads(found.get("output") or "{}")
    if found["status"] == SUCCEEDED and not stood_aside(output):
        asked = _asked(_history(execution) if found.get("redriveDate") else [], found["startDate"])
        return _shown_by(output, asked)
    return _last_success_at(_newest_success(latest(names_of_execution(execution), LOOKED_AT, SUCCEEDED)))


def is_settled(execution: str) -> bool:
    """Returns whether the mail about the execution's last attempt was sent by the state machine, or was not due."""
    events = _history(execution)
    redrives = [event["timestamp"] for event in events if event["type"] == "ExecutionRedriven"]
    settled = [state.exited for state in fold(events) if _was_sent(state) or _was_not_due(state)]
    return any(at is not None and (not redrives or at >= redrives[-1]) for at in settled)


def _was_sent(state: StateRun) -> bool:
    return state.name == REPORTER and state.error is None


def _was_not_due(state: StateRun) -> bool:
    return state.name == REPORT and json.loads(state.output or "{}").get("mail", {}).get("due") is False


def _failed(events: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> datetime:
    """Returns when an execution failed, by the clock of Step Functions, as for all earlier failures."""
    failed: datetime = found.get("stopDate") or (events[-1]["timestamp"] if events else datetime.now(UTC))
    return failed.astimezone(UTC)


def _shown_by(output: Mapping[str, Any], asked: datetime) -> datetime:
    """Returns the moment of totesys that the warehouse shows after an execution: later if it loaded later batches."""
    loaded = output.get("load", {}).get("snapshot_at")
    return max(asked, datetime.fromisoformat(loaded)) if loaded else asked


def _history(execution: str) -> list[Any]:
    pages = client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
    return [event for page in pages for event in page["events"]]


def _end(found: Mapping[str, Any]) -> tuple[str, str]:
    """Returns an ended execution's error and cause. A time-out and an abort have no error: it returns their status."""
    status = found["status"]
    cause = readable(found.get("cause")) or ""
    return (found.get("error") or status, cause) if status == "FAILED" else (status, cause)


def _results(events: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, object]]:
    """Returns the results of the stages so far; of a redriven execution, those since it started over."""
    results: dict[str, Mapping[str, object]] = {}
    for event in events:
        try:
            details = event["stateExitedEventDetails"]
            output = json.loads(details["output"])
        except (LookupError, ValueError):
            continue
        if details["name"] == END:
            results.clear()
        if isinstance(output, dict):
            results |= {name.lower(): output[name.lower()] for name in STAGES if name.lower() in output}
    return results


def _standing(names: Names, execution: str, began: datetime, zones: Zones) -> Standing:
    streak = _before(names, execution, began)
    return Standing(
        landed=_last(zones.landing_bucket),
        processed=_last(zones.processed_bucket),
        last_success_at=_last_success_at(streak.good),
        failures=len(streak.failed) + 1,
        failing_since=(streak.since or began).astimezone(UTC),
        counted_all=streak.is_whole,
    )


def _last(bucket: str) -> int | None:
    """Returns the last batch of a zone, and None on error: a broken log must not stop the e-mail."""
    try:
        return BatchLog(Lake(bucket)).last()
    except TotesError as error:
        logger.warning("log not read", bucket=bucket, error=type(error).__name__)
        return None


def _before(names: Names, execution: str, began: datetime) -> Streak:
    """Returns the executions in a row that had not succeeded before one began.

    An execution that left batches to another one is skipped.
    """
    listed = latest(names, LOOKED_AT)
    others = sorted(
        (other for other in listed if _is_before(other, execution, began)), key=lambda other: other.began, reverse=True
    )
    failed: list[Execution] = []
    for other in others:
        if other.status != SUCCEEDED:
            failed.append(other)
        elif not left_the_rest(other):
            return Streak(failed, other)
    if len(listed) < LOOKED_AT:
        return Streak(failed, None)
    return Streak(failed, _older_success(names, execution, began), is_whole=False)


def _is_before(other: Execution, execution: str, began: datetime) -> bool:
    return other.arn != execution and other.began <= began and other.status not in _UNFINISHED


def _older_success(names: Names, execution: str, began: datetime) -> Execution | None:
    """Returns the last execution that succeeded before the oldest one in the list of all executions."""
    succeeded = latest(names, LOOKED_AT, SUCCEEDED)
    return _newest_success(other for other in succeeded if _is_before(other, execution, began))


def _newest_success(succeeded: Iterable[Execution]) -> Execution | None:
    """Returns the newest of some executions that succeeded and left no batch to another one."""
    newest_first = sorted(succeeded, key=lambda other: other.began, reverse=True)
    return next((other for other in newest_first if not left_the_rest(other)), None)


def _had_failed(events: Sequence[Mapping[str, Any]], good: Execution | None) -> bool:
    """Returns whether a redriven execution had failed after the last successful one began."""
    redrives = [place for place, event in enumerate(events) if event["type"] == "ExecutionRedriven"]
    return bool(redrives) and (good is None or events[redrives[-1] - 1]["timestamp"] > good.began)


def _last_success_at(good: Execution | None) -> datetime | None:
    if good is None:
        return None
    return _asked(_history(good.arn) if good.redriven else [], good.started)


def _asked(events: Iterable[Mapping[str, Any]], started: datetime) -> datetime:
    """Returns when an execution last read totesys: a redrive reads it first, or resumes after that step."""
    asked = [state.entered for state in fold(events) if state.name == STAGES[0]]
    return max([started, *asked]).astimezone(UTC)


def _began(found: Mapping[str, Any]) -> datetime:
    """Returns when an execution's last attempt began, from the answer of DescribeExecution."""
    began: datetime = found.get("redriveDate") or found["startDate"]
    return began
