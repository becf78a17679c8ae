"""`totes redrive`: runs a failed execution again."""

import json
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.commands.run import as_document
from cli.deployment import target
from cli.errors import FAILED, Misused, interrupted_as
from cli.render.follow import NOTHING_STARTED, follow, left_running, started, wait
from cli.render.terminal import AsJson, say_json, screen
from cli.selection import named, newest, newest_unsuccessful
from cli.starting import command, unique_name
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution, describe, start

if TYPE_CHECKING:
    from totes.runtime.names import Names


def redrive(
    context: typer.Context,
    execution: Annotated[
        str | None, typer.Argument(help="Its name or ARN. Default: the newest one that failed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a failed execution again, and follow it state by state.

    Starts a new execution with the same input. The result is the same as with Redrive in the AWS console, because each
    stage reads from the logs what is left to do. But there is no limit of 14 days, and the current deployment runs. The
    schedule's next execution also catches up.

    Rejects an execution that succeeded or still runs: use `totes run`.

    Exit code: 0 if it SUCCEEDED this time, 1 otherwise, 2 if there is nothing to redrive.
    """
    console = screen()
    with interrupted_as(NOTHING_STARTED):
        names = target(context).connect()
        found = describe(named(names, execution) if execution else _last(names))
        _check(found)
        if not as_json:
            _introduce(console, names, found)
    with started(target(context)):
        going = start(names, unique_name("redrive"), found.input)
    with left_running(target(context), going):
        done = wait(going) if as_json else follow(going, console)
    if as_json:
        say_json(as_document(done) | {"redrive_of": found.name})
    if done.status != SUCCEEDED:
        raise typer.Exit(FAILED)


def _last(names: "Names") -> str:
    found = newest_unsuccessful(names)
    if found is None:
        raise Misused("No execution has failed: there is nothing to redrive. `totes run` starts one.")
    return found.arn


def _check(found: Execution) -> None:
    """Raises Misused, with a remedy, if the execution needs no redrive."""
    if found.status == RUNNING:
        raise Misused(f"Execution {found.name} still runs: follow it with `totes logs {found.name} --follow`.")
    if found.status == SUCCEEDED:
        raise Misused(
            f"Execution {found.name} SUCCEEDED: nothing is left to redrive. "
            f"Start a new one with `{command(json.loads(found.input))}`."
        )


def _introduce(console: Console, names: "Names", found: Execution) -> None:
    began = f"{found.started.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    lines = [f"Execution {found.name} of {began} ended {found.status}.", "A new execution starts with the same input."]
    if newest(names).status == SUCCEEDED and not json.loads(found.input):
        lines.append("A newer execution has succeeded and done all that this one left undone.")
    console.print(Text("\n".join(lines)), soft_wrap=True)
