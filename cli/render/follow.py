"""Follows an execution, state by state, until it ends."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cli.errors import interrupted_as
from cli.render.executions import outcome, remark, rows_moved, states_table
from cli.render.terminal import took
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution, StateRun, describe

if TYPE_CHECKING:
    from cli.deployment import Target

POLL_SECONDS = 0.25
NOTHING_STARTED = "Nothing was started."


@contextmanager
def started(target: "Target") -> Iterator[None]:
    """Raises Interrupted on Ctrl-C. The message says that the execution may have been started."""
    with interrupted_as(f"An execution may have been started. If so, `{target.command('status')}` lists it."):
        yield


@contextmanager
def left_running(target: "Target", arn: str) -> Iterator[None]:
    """Raises Interrupted on Ctrl-C. The message says that the execution continues, and how to follow it."""
    name = arn.rpartition(":")[2]
    again = target.command(f"logs {name} --follow")
    with interrupted_as(f"Execution {name} continues without you. Follow it with `{again}`."):
        yield


def follow(arn: str, console: Console) -> Execution:
    """Shows an execution until it ends: its states as they change, then its row counts and its result.

    On a terminal, a table changes in place. Elsewhere, each state gets a line when it ends.
    """
    console.print(Text.assemble("Execution ", (arn.rpartition(":")[2], "bold")))
    execution = _follow_live(arn, console) if console.is_terminal else wait(arn, _Lines(console))
    if execution.status == SUCCEEDED:
        console.print(rows_moved(execution.output))
    console.print(outcome(execution))
    return execution


def wait(arn: str, seen: Callable[[Sequence[StateRun]], None] = lambda _: None) -> Execution:
    """Waits for an execution to end and returns it. Calls `seen` with its states at each poll."""
    while True:
        execution = describe(arn)
        seen(execution.states)
        if execution.status != RUNNING:
            return execution
        time.sleep(POLL_SECONDS)


def _follow_live(arn: str, console: Console) -> Execution:
    with Live(Text("starting …", "dim"), console=console, refresh_per_second=10, transient=True) as live:
        execution = wait(arn, lambda states: live.update(states_table(states)))
    console.print(states_table(execution.states))
    return execution


class _Lines:
    """Prints a line for each state when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = 0

    def __call__(self, states: Sequence[StateRun]) -> None:
        for state in states[self._shown :]:
            if state.exited is None:
                return
            self._shown += 1
            self._console.print(Text(f"  {state.name:<16}{took(state.seconds):>9}  {remark(state)}".rstrip()))
