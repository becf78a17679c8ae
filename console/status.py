"""`totes status`: the three logs, freshness, and the last executions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from console.deployment import target
from console.errors import FAILED
from console.logs import PROMISE, Freshness, LogHead, freshness, last_success, read_logs
from console.outcome import status_text
from console.render import AsJson, ago, cell, plain_table, say_json, screen, took
from totes.executions import Execution, latest

LAST_EXECUTIONS = 10


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show how far the three logs are, how fresh the warehouse is, and the last executions.

    A batch is landed, then processed, then loaded; where the numbers differ, the next run catches up.

    Exit code: 1 when the warehouse is older than the 30 minutes that were promised, or empty.
    """
    names = target(context).connect()
    logs = read_logs(names)
    fresh = freshness(logs, last_success(names), datetime.now(UTC))
    executions = latest(names, LAST_EXECUTIONS)
    if as_json:
        say_json({"logs": logs, "freshness": fresh.as_document(), "executions": [_summary(e) for e in executions]})
    else:
        console = screen()
        console.print(_logs_table(logs), _freshness_line(fresh), "", _executions_table(executions))
    if not fresh.kept:
        raise typer.Exit(FAILED)


def _summary(execution: Execution) -> dict[str, Any]:
    shown = ("arn", "name", "status", "started", "stopped", "seconds")
    return {name: getattr(execution, name) for name in shown}


def _logs_table(logs: Sequence[LogHead]) -> Table:
    table = plain_table("Batches")
    table.add_column("")
    for log in logs:
        table.add_column(log.log)
    table.add_row("last batch", *(str(log.batch or "none") for log in logs))
    table.add_row("when", *(cell("", log.done_at) for log in logs))
    table.add_row("shows totesys at", *(cell("", log.snapshot_at) for log in logs))
    table.add_row("rows", *(cell("", log.rows) for log in logs))
    return table


def _freshness_line(fresh: Freshness) -> Text:
    if fresh.age is None:
        return Text("The warehouse is empty: nothing is loaded yet.", "bold red")
    age = ago(fresh.age)
    if fresh.kept:
        return Text.assemble("The warehouse shows totesys as it was ", (f"{age} ago", "bold green"), ".")
    return Text.assemble(
        "The warehouse shows totesys as it was ",
        (f"{age} ago", "bold red"),
        f": more than the {ago(PROMISE)} promised.",
    )


def _executions_table(executions: Sequence[Execution]) -> Table:
    table = plain_table("Last executions")
    for heading in ("started", "execution", "status"):
        table.add_column(heading, overflow="fold")
    table.add_column("took", justify="right")
    for execution in executions:
        table.add_row(
            cell("", execution.started.astimezone(UTC).replace(microsecond=0)),
            execution.name,
            status_text(execution),
            took(execution.seconds),
        )
    return table
