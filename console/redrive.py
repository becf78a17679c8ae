"""`totes redrive`: run an execution again that did not succeed."""

import json
import shlex
import time
from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import typer
from rich.console import Console
from rich.text import Text

from console.deployment import LOCAL, target
from console.errors import FAILED, Misused
from console.follow import POLL_SECONDS, follow, wait
from console.render import AsJson, say_json, screen
from console.run import as_document, unique_name
from console.selection import named, newest, newest_unsuccessful
from totes.executions import RUNNING, SUCCEEDED, start

if TYPE_CHECKING:
    from totes.names import Names

# DescribeExecution may tell for a while what was before the redrive.
PATIENCE = timedelta(seconds=30)

_STAND_IN = "The local stack can't redrive, so a new execution starts with the same input."
_ENDED_IN_FAIL = (
    "It ended in a Fail state, where a redrive would only fail again, so a new execution starts with the same input."
)


def redrive(
    context: typer.Context,
    execution: Annotated[
        str | None, typer.Argument(help="Its name or ARN; else the last one that did not succeed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run an execution again that did not succeed, and follow it state by state.

    One that timed out or was stopped is redriven: it goes on in the state in which it ended. One that failed with an
    e-mail has ended in a Fail state, where AWS would only fail it again: a new execution with the same input takes its
    place. So it is on the local stack, which can't redrive. It comes to the same, because each stage asks the logs what
    is left to do; and the schedule's next execution does so anyway.

    AWS redrives for 14 days. What succeeded, still runs or is too old is refused: use `totes run`.

    Exit code: 0 when it SUCCEEDED this time, 1 otherwise, 2 when it can't be redriven.
    """
    names = target(context).connect()
    arn = named(names, execution) if execution else _last(names)
    found = boto3.client("stepfunctions").describe_execution(executionArn=arn)
    _check(found)
    instead = _STAND_IN if names.stage == LOCAL else _ENDED_IN_FAIL if _ended_in_fail(arn) else None
    console = screen()
    if not as_json:
        _introduce(console, names, found, instead)
    going = start(names, unique_name("redrive"), found["input"]) if instead else _redriven(arn, found)
    done = wait(going) if as_json else follow(going, console)
    if as_json:
        say_json(as_document(done) | {"redrive_of": found["name"], "new_execution": instead is not None})
    if done.status != SUCCEEDED:
        raise typer.Exit(FAILED)


def _last(names: "Names") -> str:
    found = newest_unsuccessful(names)
    if found is None:
        raise Misused("No execution has failed: there is nothing to redrive. `totes run` starts one.")
    return found.arn


def _check(found: Mapping[str, Any]) -> None:
    """Refuses what can't be redriven, in words that say what to do."""
    name, status = found["name"], found["status"]
    if status == RUNNING:
        raise Misused(f"Execution {name} still runs: follow it with `totes logs {name} --follow`.")
    again = f"Start a new one with `{_run_again(found['input'])}`."
    if status == SUCCEEDED:
        raise Misused(f"Execution {name} SUCCEEDED: nothing is left to redrive. {again}")
    if found.get("redriveStatus") == "NOT_REDRIVABLE":
        raise Misused(f"Execution {name} can't be redriven any more: {found.get('redriveStatusReason', '')} {again}")


def _run_again(document: str) -> str:
    return f"totes run --input {shlex.quote(document)}" if json.loads(document) else "totes run"


def _ended_in_fail(arn: str) -> bool:
    pages = boto3.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    entered = [event["type"] for page in pages for event in page["events"] if event["type"].endswith("StateEntered")]
    return entered[-1:] == ["FailStateEntered"]


def _introduce(console: Console, names: "Names", found: Mapping[str, Any], instead: str | None) -> None:
    began = f"{found['startDate'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    lines = [f"Execution {found['name']} of {began} ended {found['status']}.", instead or "It is redriven."]
    if newest(names).status == SUCCEEDED and not json.loads(found["input"]):
        lines.append("A newer one has succeeded, and has done whatever this one left undone.")
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _redriven(arn: str, found: Mapping[str, Any]) -> str:
    """Redrives, and returns the ARN once Step Functions tells of the redrive."""
    client = boto3.client("stepfunctions")
    client.redrive_execution(executionArn=arn)
    give_up = time.monotonic() + PATIENCE.total_seconds()
    while time.monotonic() < give_up:
        if client.describe_execution(executionArn=arn).get("redriveCount", 0) > found.get("redriveCount", 0):
            break
        time.sleep(POLL_SECONDS)
    return arn
