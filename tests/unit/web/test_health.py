from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.progress import LogHead
from cli.schedule import Schedule
from totes.alerts.executions import Execution, FailedAttempt, StateRun
from web.health import health
from web.progress import Status
from web.standing import Standing

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ON_FAILURE = {"LoadFailed", "Failed"}
AGAIN = StateRun("Load", NOW, failures=(FailedAttempt(NOW, "WarehouseBusy", "Locked."),))
ON = Schedule("rule", "rate(5 minutes)", paused=False)
PAUSED = Schedule("rule", "rate(5 minutes)", paused=True)


def execution(status: str, *names: str, error: str | None = None, runs: tuple[StateRun, ...] = ()) -> Execution:
    states = (*(StateRun(name, NOW, NOW) for name in names), *runs)
    stopped = None if status == "RUNNING" else NOW
    return Execution("arn:x", "x", status, NOW, stopped, states=states, error=error)


GOOD = execution("SUCCEEDED", "Ingest", "Load")
BAD = execution("FAILED", "Ingest", "Load", "LoadFailed", "Failed", error="WarehouseBusy")


def standing(minutes: int = 2, schedule: Schedule = ON, **loaded: Any) -> Standing:
    seen = NOW - timedelta(minutes=minutes)
    return Standing([LogHead("loaded", 5, seen, seen, 7, **loaded)], schedule=schedule)


@pytest.mark.parametrize(
    ("executions", "stands", "word", "sentence"),
    [
        ([], Standing(), "empty", "Nothing has run yet."),
        (
            [GOOD],
            standing(),
            "fresh",
            "The last execution succeeded. The warehouse shows totesys as it was 2 min 0 s ago.",
        ),
        ([GOOD, BAD, BAD, GOOD], Standing(), "fresh", "The last execution succeeded after 2 that failed."),
        ([execution("RUNNING", "Ingest"), GOOD], standing(), "running", "An execution is in Ingest."),
        ([execution("RUNNING")], standing(), "running", "An execution is starting."),
        ([execution("RUNNING", runs=(AGAIN,))], standing(), "retrying", "Load is retried after WarehouseBusy."),
        ([GOOD], standing(schedule=PAUSED), "paused", "The schedule is paused."),
        ([GOOD], standing(31, PAUSED), "stale", "The warehouse shows totesys as it was 31 min 0 s ago."),
        ([GOOD], standing(trouble="Connection refused."), "unreachable", "Connection refused."),
        ([GOOD], Standing(trouble="No log."), "unreachable", "No log."),
        ([BAD, GOOD], standing(31), "failed", "Load failed with WarehouseBusy."),
        ([BAD, BAD, GOOD], standing(), "failed", "Load failed with WarehouseBusy, 2 executions in a row."),
        (
            [execution("RUNNING", "Ingest"), BAD, GOOD],
            standing(),
            "failed",
            "Load failed with WarehouseBusy. The next execution is in Ingest.",
        ),
        ([execution("ABORTED", "Ingest")], standing(), "failed", "Ingest was aborted."),
        ([execution("TIMED_OUT")], standing(), "failed", "The execution timed out."),
    ],
)
def test_gravest_is_said(executions: list[Execution], stands: Standing, word: str, sentence: str) -> None:
    found = health(executions, stands, ON_FAILURE, NOW)
    assert (found.word, found.sentence) == (word, sentence)


def test_words_are_told_apart_without_colour() -> None:
    assert health([GOOD], standing(schedule=PAUSED), ON_FAILURE, NOW).mark == "‖"
    assert health([BAD], standing(), ON_FAILURE, NOW).mark == Status.FAILED.mark
