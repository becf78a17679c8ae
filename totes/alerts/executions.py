"""Reads and starts executions of the state machine in Step Functions."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from totes.runtime.aws import client

if TYPE_CHECKING:
    from totes.runtime.names import Names

RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"

_ATTEMPT = ("TaskScheduled", "LambdaFunctionScheduled")
_GOOD = ("TaskSucceeded", "LambdaFunctionSucceeded")
_BAD = ("Failed", "TimedOut", "Aborted")


@dataclass(frozen=True)
class FailedAttempt:
    """An attempt of a task that failed.

    Attributes:
        error: the error's name.
        cause: the error's text, readable.
    """

    at: datetime
    error: str
    cause: str | None


@dataclass(frozen=True)
class StateRun:
    """One state that an execution went through.

    Attributes:
        exited: None while it runs.
        attempts: how often its task was started; 0 for states that have none.
        error: the name of the error that its last attempt ended with.
        failures: of all its attempts.
        input: as JSON.
        output: as JSON; None while it runs, and if the execution ended in it.
    """

    name: str
    entered: datetime
    exited: datetime | None = None
    attempts: int = 0
    error: str | None = None
    failures: tuple[FailedAttempt, ...] = ()
    input: str | None = None
    output: str | None = None

    @property
    def seconds(self) -> float | None:
        return None if self.exited is None else self.seconds_until(self.exited)

    def seconds_until(self, moment: datetime) -> float:
        return (moment - self.entered).total_seconds()


@dataclass(frozen=True)
class Execution:
    """One execution. Only `describe` fills input, output, error, cause and states.

    Attributes:
        input: as JSON, as it was given.
        output: its result; empty unless it SUCCEEDED.
        error: the name of the error that it ended with.
        cause: the error's text, readable.
        redriven: when it was last redriven; None if never.
    """

    arn: str
    name: str
    status: str
    started: datetime
    stopped: datetime | None
    input: str = "{}"
    output: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    cause: str | None = None
    states: tuple[StateRun, ...] = ()
    redriven: datetime | None = None

    @property
    def began(self) -> datetime:
        """Returns when its last attempt began."""
        return self.redriven or self.started

    @property
    def seconds(self) -> float | None:
        return None if self.stopped is None else (self.stopped - self.started).total_seconds()


def stood_aside(output: Mapping[str, Any]) -> bool:
    """Returns whether an execution with this output left batches to another one, which is catching up."""
    return bool(output.get("load", {}).get("catching_up"))


def without_objects(results: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the stages' results without the objects that each stage names only for the next one."""
    return {
        stage: {name: value for name, value in result.items() if name != "objects"}
        if isinstance(result, dict)
        else result
        for stage, result in results.items()
    }


def start(names: "Names", name: str, document: str) -> str:
    """Starts an execution with a JSON document as its input, and returns its ARN."""
    answer = client("stepfunctions").start_execution(stateMachineArn=names.state_machine_arn, name=name, input=document)
    return str(answer["executionArn"])


def describe(arn: str) -> Execution:
    """Returns an execution with the states that it has gone through so far."""
    # The outcome is read before the history: if the execution has ended by then, the history is complete.
    found = client("stepfunctions").describe_execution(executionArn=arn)
    pages = client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return replace(
        _execution(found),
        input=found.get("input") or "{}",
        output=without_objects(json.loads(found.get("output") or "{}")),
        error=found.get("error"),
        cause=readable(found.get("cause")),
        states=fold(event for page in pages for event in page["events"]),
    )


def latest(names: "Names", limit: int, status: str | None = None) -> list[Execution]:
    """Returns the newest executions, newest first, of one status or of all."""
    wanted = {"statusFilter": status} if status else {}
    found = client("stepfunctions").list_executions(stateMachineArn=names.state_machine_arn, maxResults=limit, **wanted)
    # AWS lists the newest first; the local stack does not promise that.
    newest = sorted(found["executions"], key=lambda execution: execution["startDate"], reverse=True)
    return [_execution(execution) for execution in newest[:limit]]


def fold(events: Iterable[Mapping[str, Any]]) -> tuple[StateRun, ...]:
    """Returns the states in a history, in the order in which the execution entered them."""
    states: list[StateRun] = []
    for event in events:
        kind, at = event["type"], event["timestamp"]
        if kind.endswith("StateEntered"):
            details = event["stateEnteredEventDetails"]
            states.append(StateRun(details["name"], at, input=details.get("input")))
        elif states:
            states[-1] = _after(states[-1], kind, at, event)
    return tuple(states)


def readable(cause: str | None) -> str | None:
    """Returns a cause's text for a person: a Lambda function's cause is JSON with a message and a stack trace."""
    try:
        document = json.loads(cause or "")
    except ValueError:
        return cause
    return document.get("errorMessage", cause) if isinstance(document, dict) else cause


def _after(state: StateRun, kind: str, at: datetime, event: Mapping[str, Any]) -> StateRun:
    if kind.endswith("StateExited"):
        return replace(state, exited=at, output=event.get("stateExitedEventDetails", {}).get("output"))
    if kind in _ATTEMPT:
        # A redrive starts the task of the state in which the execution had ended, perhaps hours later.
        entered = state.entered if state.exited is None else at
        return replace(state, entered=entered, exited=None, attempts=state.attempts + 1)
    if kind in _GOOD:
        return replace(state, error=None)
    if kind.startswith("Execution"):
        return replace(state, exited=state.exited or at)
    if kind.endswith(_BAD):
        details = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails", {})
        failure = FailedAttempt(at, details.get("error", kind), readable(details.get("cause")))
        return replace(state, error=failure.error, failures=(*state.failures, failure))
    return state


def _execution(found: Mapping[str, Any]) -> Execution:
    return Execution(
        arn=found["executionArn"],
        name=found["name"],
        status=found["status"],
        started=found["startDate"],
        stopped=found.get("stopDate"),
        redriven=found.get("redriveDate"),
    )
