"""Reads how earlier executions failed, and which e-mails were sent about it, from Step Functions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from totes.alerts.error_catalogue import ABORTED, TIMED_OUT
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution, StateRun, fold, latest, readable, stood_aside
from totes.alerts.repeats import Attempt, Kind, LastMail, mail_after
from totes.errors import split_labels
from totes.runtime.aws import client
from totes.runtime.names import STAGES, Names

REPORT, REPORTER = "Report", "NotifyFailure"
# How many earlier executions are listed: enough for a weekend of failures at the usual rate, in one request.
LOOKED_AT = 1_000
# How many of their histories are read: an error that none of them has is a first failure. AWS allows 400 such requests
# at once, and 20 a second after that.
READ = 100
# A failed stage, with all its retries, and the states after it make fewer than half as many events.
_EVENTS = 100
_END = {"ExecutionTimedOut": TIMED_OUT, "ExecutionAborted": ABORTED}


def failures_before(names: Names, execution: str) -> Iterator[Attempt]:
    """Yields the failures since the last success, newest first; it looks at 100 executions at most.

    They include the failure of another execution that is still running but has reached the state that sends its e-mail.
    They include earlier failures of `execution` itself, if it was redriven after them.
    """
    listed = sorted(latest(names, LOOKED_AT), key=_ended, reverse=True)
    good = next((other for other in listed if other.status == SUCCEEDED and not left_the_rest(other)), None)
    failed = [other for other in listed if other.status != SUCCEEDED and (good is None or _ended(other) > _ended(good))]
    for other in failed[:READ]:
        for attempt in reversed(_attempts(other, is_own=other.arn == execution)):
            if good is None or attempt.at > _ended(good):
                yield attempt


def left_the_rest(execution: Execution) -> bool:
    """Returns whether an execution that succeeded left batches to another one."""
    found = client("stepfunctions").describe_execution(executionArn=execution.arn)
    return stood_aside(json.loads(found.get("output") or "{}"))


def caught_kind(failure: Mapping[str, Any]) -> Kind:
    """Returns the kind of a failure, given what the state machine caught."""
    return Kind(failure["State"], failure["Error"], split_labels(failure["Cause"]["errorMessage"]).tables)


def caught_by(name: str, states: Sequence[StateRun]) -> list[Attempt]:
    """Returns the failures that an execution has caught, oldest first, by the states that it went through.

    A failure for which neither Report nor the plain e-mail succeeded is left out: its history does not say which e-mail
    was the last.
    """
    found = []
    for place, state in enumerate(states):
        if state.name == REPORT and (attempt := _caught(name, state, _reporter_behind(states[place:]))):
            found.append(attempt)
    return found


def _caught(name: str, report: StateRun, reporter: StateRun | None) -> Attempt | None:
    kind = caught_kind(json.loads(report.input or "{}")["failure"])
    before = _mail_before(report)
    if reporter and reporter.error is None:
        return Attempt(name, kind, report.entered, is_known=True, last_mail=mail_after(before, name, report.entered))
    if report.output is None or report.error:
        return None
    return Attempt(name, kind, report.entered, is_known=True, last_mail=before)


def _mail_before(report: StateRun) -> LastMail | None:
    """Returns the last e-mail that Report knew; None for a plain report or one by an earlier release."""
    repeats = json.loads(report.output or "{}").get("mail", {}).get("repeats")
    return LastMail.from_json(repeats) if repeats else None


def _reporter_behind(states: Sequence[StateRun]) -> StateRun | None:
    """Returns the state that sends the e-mail, if the execution reached it before it started over."""
    for state in states:
        if state.name in STAGES:
            return None
        if state.name == REPORTER:
            return state
    return None


def _attempts(execution: Execution, *, is_own: bool) -> list[Attempt]:
    events = _newest_events(execution.arn)
    states = fold(events)
    found = caught_by(execution.name, states)
    if is_own or execution.status == RUNNING or not states or _is_caught(states):
        return found
    return [*found, Attempt(execution.name, _uncaught_kind(states, events[-1]), _ended(execution))]


def _is_caught(states: Sequence[StateRun]) -> bool:
    return any(state.name == REPORT for state in states[last_stage(states) :])


def last_stage(states: Sequence[StateRun]) -> int:
    """Returns the place of the last stage that an execution was in."""
    return max((place for place, state in enumerate(states) if state.name in STAGES), default=0)


def _uncaught_kind(states: Sequence[StateRun], end: Mapping[str, Any]) -> Kind:
    stage = states[last_stage(states)].name
    failed: Mapping[str, Any] = end.get("executionFailedEventDetails", {})
    error = _END.get(end["type"]) or failed.get("error") or "FAILED"
    tables = split_labels(readable(failed.get("cause")) or "").tables
    return Kind(stage if stage in STAGES else STAGES[0], error, tables)


def _newest_events(execution: str) -> list[Mapping[str, Any]]:
    """Returns the newest events of an execution, oldest first."""
    found = client("stepfunctions").get_execution_history(executionArn=execution, reverseOrder=True, maxResults=_EVENTS)
    return sorted(found["events"], key=itemgetter("id"))


def _ended(execution: Execution) -> datetime:
    """Returns when an execution ended; a running one counts as newer than all that have ended."""
    if execution.status == RUNNING:
        return datetime.max.replace(tzinfo=UTC)
    return execution.stopped or execution.began
