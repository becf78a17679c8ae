"""Maps an execution to the drawing: each state's status and note, and the transitions taken."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from cli.render.executions import summary
from cli.render.terminal import took
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution, StateRun
from web.folding import failure_states
from web.workflow import FOLDED, State, Workflow

LONGEST_NOTE = 21


class Status(StrEnum):
    """The status of a state or an execution. The values are also the page's words and CSS classes."""

    NOT_REACHED = "not-reached"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    HANDLED = "handled"
    FAILED = "failed"

    @property
    def words(self) -> str:
        return "handled a failure" if self is Status.HANDLED else self.value.replace("-", " ")

    @property
    def mark(self) -> str:
        """Returns a sign that shows the status without colour. No platform draws any of them as an emoji."""
        return {
            Status.NOT_REACHED: "○",
            Status.RUNNING: "●",
            Status.RETRYING: "↻",
            Status.SUCCEEDED: "✓",
            Status.RETRIED: "↻",
            Status.HANDLED: "▸",
            Status.FAILED: "✗",
        }[self]


@dataclass(frozen=True)
class Shown:
    """A state's text in the drawing.

    Attributes:
        note: a short text for the box: the duration, or the error.
        label: the full text, for screen readers.
    """

    status: Status
    note: str
    label: str


def execution_status(execution: Execution) -> Status:
    """Returns the status of an execution as a whole."""
    if execution.status == RUNNING:
        return Status.RUNNING
    return Status.SUCCEEDED if execution.status == SUCCEEDED else Status.FAILED


def run_status(run: StateRun, execution: Execution, on_failure: Collection[str]) -> Status:
    """Returns the status of a state's run in an execution.

    Args:
        on_failure: the states that handle failures; they are never shown as a success.
    """
    if run.exited is None:
        return Status.RETRYING if run.failures else Status.RUNNING
    ended_here = execution_status(execution) is Status.FAILED and run is execution.states[-1]
    if run.error or ended_here:
        return Status.FAILED
    if run.name in on_failure:
        return Status.HANDLED
    return Status.RETRIED if run.failures else Status.SUCCEEDED


def current_runs(workflow: Workflow, execution: Execution | None) -> Sequence[StateRun]:
    """Returns the runs since the last redrive, which returns from a failure to the usual path."""
    if execution is None:
        return ()
    on_failure = failure_states(workflow)
    returned = (
        number
        for number, (run, after) in enumerate(pairwise(execution.states), 1)
        if run.name in on_failure and after.name not in on_failure
    )
    return execution.states[max(returned, default=0) :]


def progress(workflow: Workflow, drawn: Workflow, execution: Execution | None, now: datetime) -> Mapping[str, Shown]:
    """Returns each drawn state's text. If a state ran several times, the last run counts."""
    runs = {run.name: run for run in current_runs(workflow, execution)}
    on_failure = failure_states(workflow)
    return {name: _shown(state, runs.get(name), execution, on_failure, now) for name, state in drawn.states.items()}


def ways_taken(runs: Sequence[StateRun]) -> set[tuple[str, str]]:
    """Returns the transitions that an execution took, as pairs of states."""
    return {(run.name, after.name) for run, after in pairwise(runs)}


def said(execution: Execution) -> str:
    """Returns a line about what an execution did or is doing."""
    status = execution_status(execution)
    if status is Status.RUNNING:
        return f"in {execution.states[-1].name}" if execution.states else "starting"
    if status is Status.FAILED:
        return f"{execution.error or execution.status}: {execution.cause or 'no cause given'}"
    errors = dict.fromkeys(failure.error for run in execution.states for failure in run.failures)
    healed = f"; retried after {', '.join(errors)}" if errors else ""
    return summary(execution) + healed


def _shown(
    state: State, run: StateRun | None, execution: Execution | None, on_failure: Collection[str], now: datetime
) -> Shown:
    if run is None or execution is None:
        kind = f"{len(state.holds)} states" if state.kind == FOLDED else state.kind
        return Shown(Status.NOT_REACHED, kind.lower(), f"{state.name}, {kind}: not reached")
    status = run_status(run, execution, on_failure)
    time = took(run.seconds_until(run.exited or now))
    attempts = f"{run.attempts} attempts, " if run.attempts > 1 else ""
    error = run.error or (execution.error or execution.status if status is Status.FAILED else None)
    note = _shortened(error) if error else f"{attempts}{time}"
    label = f"{state.name}, {state.kind}: {status.words}, {attempts}{time}" + (f", {error}" if error else "")
    return Shown(status, note, label)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_NOTE else f"{text[: LONGEST_NOTE - 1]}…"
