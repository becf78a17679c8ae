"""`totes run`: start an execution and follow it."""

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
        typer.Option(metavar="TABLE", help="Read all rows of this table of totesys, not only new ones; repeatable."),
    ] = None,
    accept_deletions: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE=ROWS", help="Accept up to ROWS deletions in this table; repeatable."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The execution's name, free for 90 days; made up when left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start an execution and follow it state by state.

    Brings over what has changed in totesys since the batch before. Safe at any time: with nothing new it
    changes nothing, and after a failure it catches up. Ctrl-C ends the following only: the execution continues.

    Exit code: 0 when it SUCCEEDED, 130 after Ctrl-C, 1 otherwise.
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
                raise Misused(f"There already is an execution {name}: give another --name, or none.") from None
            case "InvalidName":
                raise Misused(f"--name {name} is not a valid name: take up to 80 letters, digits, - and _.") from None
        raise


def as_document(execution: Execution) -> dict[str, Any]:
    """An execution for `--json`."""
    told = ("name", "entered", "exited", "attempts", "error", "seconds")
    states = [{name: getattr(state, name) for name in told} for state in execution.states]
    given = json.loads(execution.input)
    return asdict(execution) | {"input": given, "seconds": execution.seconds, "states": states}


def _input(full_read: Iterable[str], accept_deletions: Iterable[str]) -> dict[str, Any]:
    """Returns the execution's input, without the fields that were not asked for.

    Raises:
        Misused: a table is unknown, or a number of rows is missing, wrong, or given twice.
    """
    tables = list(dict.fromkeys(_known(table, "--full-read") for table in full_read))
    accepted: dict[str, int] = {}
    for given in accept_deletions:
        table, equals, rows = given.partition("=")
        # The form comes first: what is no TABLE=ROWS names no table.
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
