"""Shows executions: their states, the rows they moved, and their results."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.columns import Columns
from rich.console import RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.render.terminal import plain_table, took
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution, StateRun, stood_aside
from totes.contracts.declarations import calendars
from totes.runtime.passes import batches_of
from totes.runtime.redaction import visible

NOTHING_NEW = "nothing new: no object and no row was written"


def status_text(execution: Execution) -> Text:
    """Returns the status in its colour."""
    style = {SUCCEEDED: "bold green", RUNNING: "bold cyan"}.get(execution.status, "bold red")
    return Text(execution.status, style)


def states_table(states: Sequence[StateRun]) -> Table:
    """Returns a table of the states: result, name, duration so far, and remarks."""
    now = datetime.now(UTC)
    table = plain_table()
    table.add_column("")
    table.add_column("state")
    table.add_column("took", justify="right")
    table.add_column("")
    for state in states:
        table.add_row(
            _mark(state), Text(state.name), took(state.seconds_until(state.exited or now)), Text(remark(state), "dim")
        )
    return table


def remark(state: StateRun) -> str:
    """Returns a state's error and its number of attempts, if there was more than one."""
    attempts = f"{state.attempts} attempts" if state.attempts > 1 else ""
    return ", ".join(part for part in (state.error, attempts) if part)


def outcome(execution: Execution) -> Text:
    """Returns the execution's status, duration and error."""
    text = Text.assemble("Execution ", (execution.name, "bold"), " ", status_text(execution))
    if execution.seconds is not None:
        text.append(f" after {took(execution.seconds)}")
    return text.append_text(_error(execution, "\n"))


def headline(execution: Execution) -> Text:
    """Returns the execution's result and loaded rows on one line."""
    if execution.status != SUCCEEDED:
        return status_text(execution).append_text(_error(execution, " "))
    load = execution.output.get("load", {})
    if stood_aside(execution.output):
        return Text(f"{catching_up(execution.output)} ({took(execution.seconds)})", "yellow")
    if not load.get("batches"):
        return Text(f"{NOTHING_NEW} ({took(execution.seconds)})", "dim")
    return Text.assemble((f"{batches_of(load)} loaded", "green"), f" in {took(execution.seconds)}: {_short(load)}")


def catching_up(output: Mapping[str, Any]) -> str:
    """Names the execution that is catching up, given the output of one that left batches to it."""
    load, name = output["load"], output["load"]["catching_up"].rpartition(":")[2]
    landed = output["ingest"]["landed_through"]
    return f"another execution, {name}, is catching up: batch {load['loaded_through']:,} of {landed:,} is loaded"


def summary(execution: Execution) -> str:
    """Returns what a successful execution did, without its duration."""
    load = execution.output.get("load", {})
    done = [f"{batches_of(load)} loaded: {_short(load)}"] if load.get("batches") else []
    if stood_aside(execution.output):
        done.append(catching_up(execution.output))
    return "; ".join(done) or NOTHING_NEW


def count_without_calendar(rows: Mapping[str, int]) -> int:
    """Returns the sum of the rows, without the calendar, which every batch contains."""
    left_out = calendars()
    return sum(count for table, count in rows.items() if table not in left_out)


def rows_moved(output: Mapping[str, Any]) -> RenderableType:
    """Returns an execution's row counts by table: landed from the source, and loaded into the warehouse."""
    ingest, load = output.get("ingest", {}), output.get("load", {})
    landed = _counts(f"batch {ingest.get('batch')} landed", ingest, ("rows", "deleted"))
    batches = f"{batches_of(load)} loaded" if load.get("batches") else "nothing loaded"
    loaded = _counts(batches, load, ("inserted", "updated", "tombstones"))
    found = [table for table in (landed, loaded) if table.row_count]
    if found:
        return Columns(found, padding=(0, 4))
    if stood_aside(output):
        return Text(f"Nothing: {catching_up(output)}.", "yellow")
    return Text("The batch changes no row." if load.get("batches") else f"{NOTHING_NEW.capitalize()}.", "dim")


def rows_left(results: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """Returns the row counts that a failed execution had landed, processed and loaded."""
    ingest, transform, load = (results.get(stage, {}) for stage in ("ingest", "transform", "load"))
    batch = ingest.get("batch")
    landed = _counts(f"batch {batch} landed" if batch else "nothing landed", ingest, ("rows", "deleted"))
    processed = _counts("processed", transform, ("rows",))
    loaded = _counts("loaded", load, ("inserted", "updated", "tombstones"))
    found = [table for table in (landed, processed, loaded) if table.row_count]
    return Columns(found, padding=(0, 4)) if found else Text("None: nothing new was found.", "dim")


def _mark(state: StateRun) -> RenderableType:
    if state.exited is None:
        return Spinner("dots", style="cyan")
    return Text("✘", "red") if state.error else Text("✔", "green")


def _error(execution: Execution, before: str) -> Text:
    if not execution.error:
        return Text()
    return Text.assemble(before, (f"{execution.error}: ", "bold red"), visible(execution.cause or "no cause given"))


def _short(load: Mapping[str, Any]) -> str:
    facts = [f"{table.removeprefix('fact_')} {rows:,}" for table, rows in load["inserted"].items() if "fact_" in table]
    dimensions = sum(
        rows for name in ("inserted", "updated") for table, rows in load[name].items() if "fact_" not in table
    )
    deleted = sum(load["tombstones"].values())
    others = [f"{word} {rows:,}" for word, rows in (("dimensions", dimensions), ("deleted", deleted)) if rows]
    return ", ".join(facts + others) or "no row of the warehouse differs"


def _counts(title: str, result: Mapping[str, Any], columns: Sequence[str]) -> Table:
    filled: dict[str, Mapping[str, int]] = {name: result[name] for name in columns if result.get(name)}
    table = plain_table(title)
    table.add_column("table")
    for name in filled:
        table.add_column(name, justify="right")
    for row in dict.fromkeys(row for counts in filled.values() for row in counts):
        table.add_row(row, *(f"{counts[row]:,}" if row in counts else "" for counts in filled.values()))
    return table
