"""`totes status`: shows the three logs, freshness, the schedule, and the last executions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli.commands.pause import schedule_text
from cli.deployment import target
from cli.errors import FAILED, Misused
from cli.progress import PROMISE, Freshness, LogHead, freshness, last_success, read_logs
from cli.render.executions import status_text
from cli.render.terminal import AsJson, FirstThatFits, ago, cell, plain_table, say_json, screen, took
from cli.schedule import Schedule, expected_start, read_schedule
from cli.watching import watch
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution, describe, latest, stood_aside
from totes.alerts.notice import notice_of

if TYPE_CHECKING:
    from totes.runtime.names import Names

LAST_EXECUTIONS = 10
EVERY = timedelta(seconds=5)
EMPTY = "The warehouse is empty: no batch is loaded yet."


@dataclass(frozen=True)
class PipelineStatus:
    """The pipeline's state. `catching_up` is the execution to which the newest successful one left batches."""

    logs: Sequence[LogHead]
    freshness: Freshness
    schedule: Schedule
    executions: Sequence[Execution]
    catching_up: str | None = None

    @property
    def well(self) -> bool:
        return self.freshness.kept and not any(log.trouble for log in self.logs)

    def as_document(self) -> dict[str, Any]:
        return {
            "logs": self.logs,
            "freshness": self.freshness.as_document(),
            "schedule": self.schedule,
            "executions": [_summary(execution) for execution in self.executions],
            "catching_up": self.catching_up,
        }

    def view(self) -> Group:
        return Group(
            _logs_table(self.logs),
            *(Text(f"{log.log}: last known batch. {log.trouble}", "bold red") for log in self.logs if log.trouble),
            _freshness_line(self.freshness, self.logs[-1]),
            *_catching_up_line(self.catching_up, self.logs),
            schedule_text(self.schedule),
            "",
            FirstThatFits(_executions_table(self.executions), _executions_list(self.executions)),
        )


def status(
    context: typer.Context,
    watching: Annotated[bool, typer.Option("--watch", "-w", help="Refresh it in place until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the three logs, the warehouse's freshness, the schedule, and the last executions.

    A batch is landed, then processed, then loaded. If the batch numbers differ, the next execution catches up. A table
    that only adds columns to a dimension, such as department, has rows in the landing zone only.

    Exit code: 1 if the warehouse is empty, unreachable, or older than the promised 30 minutes.
    """
    console = screen()
    if watching and as_json:
        raise Misused("Give --watch or --json, not both.")
    if watching and not console.is_terminal:
        raise Misused("--watch needs a terminal. In a script, call `totes status --json` repeatedly.")
    if watching:
        # Reads the address each time: the stack may have been restarted at another one.
        watch(console, lambda: _read_status(target(context).connect()).view(), EVERY)
        return
    standing = _read_status(target(context).connect())
    if as_json:
        say_json(standing.as_document())
    else:
        console.print(standing.view())
    if not standing.well:
        raise typer.Exit(FAILED)


def _read_status(names: "Names") -> PipelineStatus:
    logs, now = read_logs(names), datetime.now(UTC)
    fresh = freshness(logs, last_success(names), now)
    executions = [_with_states(execution) for execution in latest(names, LAST_EXECUTIONS)]
    schedule = read_schedule(names)
    schedule = replace(schedule, next_start=expected_start(schedule, executions, now))
    return PipelineStatus(logs, fresh, schedule, executions, _catching_up(executions))


def _with_states(execution: Execution) -> Execution:
    """Adds the states to a failed execution; they say whether an e-mail was sent."""
    return execution if execution.status in (SUCCEEDED, RUNNING) else describe(execution.arn)


def _catching_up(executions: Sequence[Execution]) -> str | None:
    newest = next((execution for execution in executions if execution.status == SUCCEEDED), None)
    output = describe(newest.arn).output if newest else {}
    return str(output["load"]["catching_up"]) if stood_aside(output) else None


def _catching_up_line(execution: str | None, logs: Sequence[LogHead]) -> list[Text]:
    landed, _, loaded = logs
    if execution is None or loaded.batch >= landed.batch:
        return []
    name = execution.rpartition(":")[2]
    return [Text(f"Execution {name} is catching up: batch {loaded.batch:,} of {landed.batch:,} is loaded.", "yellow")]


def _summary(execution: Execution) -> dict[str, Any]:
    shown = ("arn", "name", "status", "started", "stopped", "seconds")
    notice = notice_of(execution)
    return {name: getattr(execution, name) for name in shown} | {"mail": notice.short if notice else None}


def _logs_table(logs: Sequence[LogHead]) -> Table:
    table = plain_table("Batches")
    table.add_column("")
    for log in logs:
        table.add_column(log.log)
    table.add_row("last batch", *(str(log.batch or ("unknown" if log.trouble else "none")) for log in logs))
    table.add_row("when", *(cell("", log.done_at) for log in logs))
    table.add_row("shows totesys at", *(cell("", log.snapshot_at) for log in logs))
    table.add_row("rows", *(cell("", log.rows) for log in logs))
    return table


def _freshness_line(fresh: Freshness, loaded: LogHead) -> Text:
    if fresh.age is None:
        return Text(
            "Freshness unknown: the warehouse can't be reached." if loaded.trouble else EMPTY,
            "bold red",
        )
    age = ago(fresh.age)
    if loaded.trouble:
        # The age comes from the last successful execution. The warehouse may have lost data since.
        said = "When it was last reachable, the warehouse showed totesys as it was "
        return Text.assemble(said, (f"{age} ago", "bold yellow"), ".")
    if fresh.kept:
        return Text.assemble("The warehouse shows totesys as it was ", (f"{age} ago", "bold green"), ".")
    return Text.assemble(
        "The warehouse shows totesys as it was ",
        (f"{age} ago", "bold red"),
        f": more than the {ago(PROMISE)} promised.",
    )


def _executions_table(executions: Sequence[Execution]) -> Table:
    table = plain_table("Last executions")
    # Times have no year or zone, so that a name fits beside them in 80 columns.
    for heading in ("started, UTC", "execution", "status"):
        table.add_column(heading)
    table.add_column("took", justify="right")
    notices = [notice_of(execution) for execution in executions]
    if any(notices):
        table.add_column("e-mail")
    for execution, notice in zip(executions, notices, strict=True):
        table.add_row(
            _started(execution),
            execution.name,
            status_text(execution),
            took(execution.seconds),
            *([notice.short if notice else ""] if any(notices) else []),
        )
    return table


def _executions_list(executions: Sequence[Execution]) -> Group:
    """Returns the executions for a narrow terminal. Each name has its own line, so that it can be copied."""
    lines = [Text("Last executions, UTC\n", "bold")]
    for execution in executions:
        notice = notice_of(execution)
        more = (took(execution.seconds), f"e-mail: {notice.short}" if notice else "")
        said = ", ".join((_started(execution), *filter(None, more)))
        lines += [
            Text.assemble(status_text(execution), f"  {said}"),
            Text(f"  {execution.name}", no_wrap=True, overflow="ignore"),
        ]
    return Group(*lines)


def _started(execution: Execution) -> str:
    return f"{execution.started.astimezone(UTC):%m-%d %H:%M:%S}"
