import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from totes.alerts.executions import Execution, FailedAttempt, StateRun
from web.findings import Failures, alike, warnings

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
INGEST = StateRun("Ingest", START, START)
EXECUTION = Execution("arn:x", "x", "RUNNING", START, None)


def attempt(second: int, error: str = "SourceBusy", cause: str | None = "Locked.") -> FailedAttempt:
    return FailedAttempt(START + timedelta(seconds=second), error, cause)


def test_attempts_that_failed_alike_are_one() -> None:
    first, other, second = attempt(0), attempt(5, cause="Overloaded."), attempt(15)
    assert alike([first, other, second]) == [
        Failures("SourceBusy", "Locked.", (first.at, second.at)),
        Failures("SourceBusy", "Overloaded.", (other.at,)),
    ]
    assert alike([attempt(0), attempt(1, "SourceUnreachable")])[1].error == "SourceUnreachable"


def found_by(**ingest: object) -> list[str]:
    ran = replace(INGEST, output=json.dumps({"ingest": ingest}))
    return warnings(replace(EXECUTION, states=(ran, StateRun("Load", START))))


def test_warnings_are_known_before_an_execution_has_succeeded() -> None:
    assert found_by(warnings=["payment.note is declared nowhere"], quarantined={"staff": 1, "payment": 1200}) == [
        "payment.note is declared nowhere",
        "1 row of staff is quarantined",
        "1,200 rows of payment are quarantined",
    ]


def test_most_executions_have_none() -> None:
    assert found_by(warnings=[], quarantined={}) == []
    assert found_by(warnings=[], quarantined={"staff": 0}) == []
    assert warnings(EXECUTION) == []
    assert warnings(replace(EXECUTION, states=(INGEST,))) == []
