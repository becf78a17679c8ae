"""Following an execution, state by state, until it ends."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from console.executions import RUNNING, SUCCEEDED, Execution, StateRun, describe
from console.render import plain_table, took

POLL_SECONDS = 0.3

STYLES = {SUCCEEDED: "bold green", RUNNING: "bold cyan"}


def follow(arn: str, console: Console) -> Execution:
    """Shows the states of an execution as it goes through them; returns it when it is over.

    A terminal sees a table that changes in place, anything else a line for each state that is done.
    """
    if not console.is_terminal:
        return _until_over(arn, _Lines(console))
    with Live(Text("Starting …", "dim"), console=console, refresh_per_second=10, transient=True) as live:
        execution = _until_over(arn, lambda states: live.update(states_table(states)))
    console.print(states_table(execution.states))
    return execution


def wait(arn: str) -> Execution:
    """The same without showing anything."""
    return _until_over(arn, lambda _: None)


def states_table(states: Sequence[StateRun]) -> Table:
    """Each state with how long it took and what became of it."""
    table = plain_table()
    for name, justify in (("", "left"), ("state", "left"), ("took", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for state in states:
        table.add_row(_mark(state), Text(state.name), took(state.seconds), Text(_remark(state), "dim"))
    return table


def outcome(execution: Execution) -> Text:
    """One sentence on how it ended."""
    text = Text.assemble(
        "Execution ",
        (execution.name, "bold"),
        " ",
        (execution.status, STYLES.get(execution.status, "bold red")),
        f" after {took(execution.seconds)}" if execution.seconds is not None else "",
    )
    if execution.error:
        text.append(f"\n{execution.error}: ", "bold red")
        text.append(execution.cause or "no cause given")
    return text


def rows_moved(output: Mapping[str, Any]) -> RenderableType:
    """What an execution did, table by table: landed from the source, and loaded into the warehouse."""
    ingest, load = output.get("ingest", {}), output.get("load", {})
    landed = _counts(f"batch {ingest.get('batch')} landed", ingest, ("rows", "deleted"))
    loaded = _counts(_batches(load), load, ("inserted", "updated", "tombstones"))
    found = [table for table in (landed, loaded) if table.row_count]
    if not found:
        return Text("Nothing new: no object and no row was written.", "dim")
    return Columns(found, padding=(0, 4))


class _Lines:
    """A line for each state, once it is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = 0

    def __call__(self, states: Sequence[StateRun]) -> None:
        for state in states[self._shown :]:
            if state.exited is None:
                return
            self._shown += 1
            remark = _remark(state)
            self._console.print(Text(f"  {state.name:<16}{took(state.seconds):>9}  {remark}".rstrip()))


def _until_over(arn: str, seen: Callable[[Sequence[StateRun]], None]) -> Execution:
    while True:
        execution = describe(arn)
        seen(execution.states)
        if execution.status != RUNNING:
            return execution
        time.sleep(POLL_SECONDS)


def _mark(state: StateRun) -> RenderableType:
    if state.exited is None:
        return Spinner("dots", style="cyan")
    return Text("✘", "red") if state.error else Text("✔", "green")


def _remark(state: StateRun) -> str:
    attempts = f"{state.attempts} attempts" if state.attempts > 1 else ""
    if not state.error:
        return attempts
    return f"{state.error}, {attempts}" if attempts else state.error


def _batches(load: Mapping[str, Any]) -> str:
    first, last = load.get("first"), load.get("last")
    return f"batch {last} loaded" if first == last else f"batches {first} to {last} loaded"


def _counts(title: str, result: Mapping[str, Any], columns: Sequence[str]) -> Table:
    filled: dict[str, Mapping[str, int]] = {name: result[name] for name in columns if result.get(name)}
    table = plain_table(title)
    table.add_column("table")
    for name in filled:
        table.add_column(name, justify="right")
    for row in dict.fromkeys(row for counts in filled.values() for row in counts):
        table.add_row(row, *(f"{counts[row]:,}" if row in counts else "" for counts in filled.values()))
    return table
