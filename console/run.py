"""`totes run`: start an execution and follow it."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import typer

from console.deployment import target
from console.errors import FAILED, Misused
from console.follow import follow, wait
from console.render import AsJson, say_json, screen
from totes.executions import SUCCEEDED, Execution, start


def run(
    context: typer.Context,
    document: Annotated[
        str, typer.Option("--input", metavar="JSON", help="The execution's input; the schedule sends {}.")
    ] = "{}",
    name: Annotated[
        str | None, typer.Option(help="The execution's name, free for 90 days; made up when left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start an execution and follow it state by state.

    Brings over what has changed in totesys since the batch before. Safe at any time: with nothing new it
    changes nothing, and after a failure it catches up.

    Exit code: 0 when it SUCCEEDED, 1 otherwise.
    """
    check_input(document)
    names = target(context).connect()
    arn = start(names, name or unique_name("manual"), document)
    if as_json:
        execution = wait(arn)
        say_json(as_document(execution))
    else:
        execution = follow(arn, screen())
    if execution.status != SUCCEEDED:
        raise typer.Exit(FAILED)


def unique_name(origin: str) -> str:
    """A name that no other execution has, and that says where it came from and when."""
    return f"{origin}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}"


def as_document(execution: Execution) -> dict[str, Any]:
    """An execution for `--json`."""
    told = ("name", "entered", "exited", "attempts", "error", "seconds")
    states = [{name: getattr(state, name) for name in told} for state in execution.states]
    given = json.loads(execution.input)
    return asdict(execution) | {"input": given, "seconds": execution.seconds, "states": states}


def check_input(document: str) -> None:
    """Looks whether an execution may be started with this input.

    Raises:
        Misused: it is no JSON object.
    """
    try:
        parsed = json.loads(document)
    except ValueError as error:
        raise Misused(f"The input is not JSON: {error}.") from None
    if not isinstance(parsed, dict):
        raise Misused(f"The input is {type(parsed).__name__} {document}, not a JSON object like {{}}.")
