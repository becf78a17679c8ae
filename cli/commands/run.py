"""`totes run`: starts an execution and follows it."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.exceptions import ClientError

from cli.deployment import target
from cli.errors import FAILED, Misused, interrupted_as, no_such
from cli.render.follow import NOTHING_STARTED, follow, left_running, started, wait
from cli.render.terminal import AsJson, say_json, screen
from cli.starting import unique_name
from totes.alerts.executions import SUCCEEDED, Execution, start
from totes.contracts.declarations import source_tables

if TYPE_CHECKING:
    from totes.runtime.names import Names


def run(
    context: typer.Context,
    full_read: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE", help="Read this totesys table in full, not only its changes; repeatable."),
    ] = None,
    accept_deletions: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE=ROWS", help="Accept up to ROWS deletions in this table; repeatable."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The execution's name, unused for 90 days. Default: a unique name.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start an execution and follow it state by state.

    The execution loads every change in totesys since the last batch. You may start one at any time: if nothing is new,
    it changes nothing; after a failure, it catches up. Ctrl-C only stops the display: the execution continues.

    Exit code: 0 if it SUCCEEDED, 130 after Ctrl-C, 1 otherwise.
    """
    document = json.dumps(_input(full_read or (), accept_deletions or ()))
    with interrupted_as(NOTHING_STARTED):
        names = target(context).connect()
    with started(target(context)):
        arn = _start(names, name, document)
    with left_running(target(context), arn):
        execution = wait(arn) if as_json else follow(arn, screen())
    if as_json:
        say_json(as_document(execution))
    if execution.status != SUCCEEDED:
        raise typer.Exit(FAILED)


def _start(names: "Names", name: str | None, document: str) -> str:
    try:
        return start(names, name or unique_name("manual"), document)
    except ClientError as error:
        match error.response["Error"]["Code"]:
            case "ExecutionAlreadyExists":
                raise Misused(f"Execution {name} already exists: give another --name, or none.") from None
            case "InvalidName":
                raise Misused(f"--name {name} is not a valid name: use up to 80 letters, digits, - and _.") from None
        raise


def as_document(execution: Execution) -> dict[str, Any]:
    """Returns an execution for `--json`."""
    shown = ("name", "entered", "exited", "attempts", "error", "seconds")
    states = [{name: getattr(state, name) for name in shown} for state in execution.states]
    given = json.loads(execution.input)
    return asdict(execution) | {"input": given, "seconds": execution.seconds, "states": states}


def _input(full_read: Iterable[str], accept_deletions: Iterable[str]) -> dict[str, Any]:
    """Returns the execution's input, with only the fields that were given.

    Raises:
        Misused: a table is unknown, or a number of rows is missing, wrong, or given twice.
    """
    tables = list(dict.fromkeys(_known(table, "--full-read") for table in full_read))
    accepted: dict[str, int] = {}
    for given in accept_deletions:
        table, equals, rows = given.partition("=")
        # Checks the form first: without a TABLE=ROWS there is no table to look up.
        if not (table and equals):
            raise Misused(f"--accept-deletions {given} is not TABLE=ROWS, like payment=120.")
        _known(table, "--accept-deletions")
        if not (rows.isascii() and rows.isdigit() and int(rows)):
            raise Misused(f"--accept-deletions {given} is not TABLE=ROWS, like {table}=120.")
        if table in accepted:
            raise Misused(f"--accept-deletions names {table} twice.")
        accepted[table] = int(rows)
    fields = {"full_read": tables, "accept_deletions": accepted}
    return {name: value for name, value in fields.items() if value}


def _known(table: str, option: str) -> str:
    if table not in source_tables():
        raise Misused(f"{option}: {no_such('source table', table, source_tables())}")
    return table
