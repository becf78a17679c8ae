"""Summarises the pipeline's health as one word and one sentence."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from cli.progress import Freshness
from cli.render.terminal import ago
from totes.alerts.executions import RUNNING, SUCCEEDED, Execution, StateRun
from web.progress import Status, run_status
from web.standing import Standing


@dataclass(frozen=True)
class Health:
    """The pipeline's health.

    Attributes:
        word: the summary, and the name of the tab's icon.
        status: the status whose colour is used.
        failed: the newest ended execution, if it failed.
    """

    word: str
    status: Status
    sentence: str
    failed: Execution | None = None

    @property
    def mark(self) -> str:
        return "‖" if self.word == "paused" else self.status.mark


# Each word's colour and mark.
STATUSES = {
    "failed": Status.FAILED,
    "unreachable": Status.FAILED,
    "stale": Status.FAILED,
    "paused": Status.RETRYING,
    "retrying": Status.RETRYING,
    "running": Status.RUNNING,
    "fresh": Status.SUCCEEDED,
    "empty": Status.NOT_REACHED,
}
_WITHOUT_ERROR = {"TIMED_OUT": "timed out", "ABORTED": "was aborted"}


def health(executions: Sequence[Execution], standing: Standing, on_failure: Collection[str], now: datetime) -> Health:
    """Returns the most serious problem, or the normal state.

    Args:
        executions: the newest executions, newest first.
        on_failure: the states that handle failures.
    """
    word, sentence = _gravest(executions, standing, on_failure, now)
    return Health(word, STATUSES[word], sentence, next(iter(failed_in_a_row(executions)), None))


def failed_in_a_row(executions: Sequence[Execution]) -> list[Execution]:
    """Returns the executions that failed since the last success, newest first."""
    failed: list[Execution] = []
    for execution in executions:
        if execution.status == SUCCEEDED:
            break
        if execution.status != RUNNING:
            failed.append(execution)
    return failed


def failed_state(execution: Execution, on_failure: Collection[str]) -> StateRun | None:
    """Returns the state that made an execution fail, not one that handled the failure."""
    usual = [run for run in execution.states if run.name not in on_failure]
    return usual[-1] if usual else None


def _gravest(
    executions: Sequence[Execution], standing: Standing, on_failure: Collection[str], now: datetime
) -> tuple[str, str]:
    running = next((execution for execution in executions if execution.status == RUNNING), None)
    at = running.states[-1] if running and running.states else None
    fresh = standing.freshness(now)
    if failed := failed_in_a_row(executions):
        return "failed", _failed(failed, on_failure) + (f" The next execution is {_in(at)}." if running else "")
    if standing.trouble or standing.unread:
        return "unreachable", standing.trouble or str(standing.unread[0].trouble)
    if fresh and fresh.age and not fresh.kept:
        return "stale", f"The warehouse shows totesys as it was {ago(fresh.age)} ago."
    if running and at and run_status(at, running, on_failure) is Status.RETRYING:
        return "retrying", f"{at.name} is retried after {at.failures[-1].error}."
    if standing.schedule and standing.schedule.paused:
        return "paused", "The schedule is paused."
    if running:
        return "running", f"An execution is {_in(at)}."
    if not executions:
        return "empty", "Nothing has run yet."
    return "fresh", _succeeded(executions, fresh)


def _in(at: StateRun | None) -> str:
    return f"in {at.name}" if at else "starting"


def _failed(failed: Sequence[Execution], on_failure: Collection[str]) -> str:
    newest = failed[0]
    state = failed_state(newest, on_failure)
    how = f"failed with {newest.error}" if newest.error else _WITHOUT_ERROR.get(newest.status, "failed")
    row = f", {len(failed)} executions in a row" if len(failed) > 1 else ""
    return f"{state.name if state else 'The execution'} {how}{row}."


def _succeeded(executions: Sequence[Execution], fresh: Freshness | None) -> str:
    before = len(failed_in_a_row(executions[1:]))
    recovered = f" after {before} that failed" if before else ""
    shows = f" The warehouse shows totesys as it was {ago(fresh.age)} ago." if fresh and fresh.age else ""
    return f"The last execution succeeded{recovered}.{shows}"
