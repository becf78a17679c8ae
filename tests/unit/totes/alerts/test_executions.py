from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from totes.alerts.executions import fold, readable

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def entered(name: str, at: int, kind: str = "Task") -> dict[str, Any]:
    return {
        "type": f"{kind}StateEntered",
        "timestamp": START + timedelta(seconds=at),
        "stateEnteredEventDetails": {"name": name},
    }


def exited(at: int, kind: str = "Task") -> dict[str, Any]:
    return {"type": f"{kind}StateExited", "timestamp": START + timedelta(seconds=at)}


def event(kind: str, at: int, **details: str) -> dict[str, Any]:
    key = f"{kind[0].lower()}{kind[1:]}EventDetails"
    return {"type": kind, "timestamp": START + timedelta(seconds=at), key: details}


def test_finished_state_knows_its_seconds() -> None:
    (state,) = fold([entered("Ingest", 0), event("TaskScheduled", 0), event("TaskSucceeded", 2), exited(2)])
    assert (state.name, state.seconds, state.attempts, state.error) == ("Ingest", 2.0, 1, None)


def test_running_state_has_no_end_yet() -> None:
    done, running = fold([entered("Ingest", 0), exited(1), entered("NewData?", 1, "Choice")])
    assert done.seconds == 1
    assert (running.name, running.exited, running.seconds) == ("NewData?", None, None)


def test_healed_state_counts_attempts_without_error() -> None:
    (state,) = fold(
        [
            entered("Load", 0),
            event("TaskScheduled", 0),
            event("TaskFailed", 1, error="WarehouseBusy", cause="{}"),
            event("TaskScheduled", 3),
            event("TaskSucceeded", 4),
            exited(4),
        ]
    )
    assert (state.attempts, state.error, state.seconds) == (2, None, 4.0)


def test_redriven_state_runs_again_from_its_redrive() -> None:
    aborted = [entered("Ingest", 0), event("TaskScheduled", 0), event("ExecutionAborted", 5)]
    again = [*aborted, event("ExecutionRedriven", 3600), event("TaskScheduled", 3600)]
    (state,) = fold(again)
    assert (state.exited, state.attempts) == (None, 2)
    (state,) = fold([*again, event("TaskSucceeded", 3602), exited(3602)])
    assert (state.seconds, state.error) == (2, None)


def test_state_knows_every_attempt_that_failed() -> None:
    (state,) = fold(
        [
            entered("Load", 0),
            event("TaskScheduled", 0),
            event("TaskFailed", 1, error="WarehouseBusy", cause='{"errorMessage": "Locked by psql."}'),
            event("TaskScheduled", 3),
            event("TaskTimedOut", 4),
        ]
    )
    first, second = state.failures
    assert (first.at, first.error, first.cause) == (START + timedelta(seconds=1), "WarehouseBusy", "Locked by psql.")
    assert (second.error, second.cause, state.error) == ("TaskTimedOut", None, "TaskTimedOut")


def test_state_knows_what_it_was_given_and_gave() -> None:
    first = entered("Ingest", 0)
    first["stateEnteredEventDetails"]["input"] = '{"a": 1}'
    last = exited(1) | {"stateExitedEventDetails": {"name": "Ingest", "output": '{"b": 2}'}}
    assert [(state.input, state.output) for state in fold([first])] == [('{"a": 1}', None)]
    assert [(state.input, state.output) for state in fold([first, last])] == [('{"a": 1}', '{"b": 2}')]


@pytest.mark.parametrize("kind", ["TaskFailed", "TaskTimedOut", "LambdaFunctionFailed"])
def test_caught_error_stays_with_its_state(kind: str) -> None:
    failed, notified = fold(
        [entered("Ingest", 0), event(kind, 1, error="ContractViolation"), exited(1), entered("NotifyFailure", 1)]
    )
    assert failed.error == "ContractViolation"
    assert notified.error is None


def test_end_of_execution_ends_its_last_state() -> None:
    (state,) = fold([entered("Failed", 0, "Fail"), event("ExecutionFailed", 1, error="ContractViolation")])
    assert state.seconds == 1
    assert state.error is None


def test_state_name_is_not_mistaken_for_event() -> None:
    (state,) = fold([event("ExecutionStarted", 0), entered("TaskFailed", 0)])
    assert (state.name, state.error) == ("TaskFailed", None)


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        pytest.param('{"errorMessage": "No such table.", "stackTrace": ["…"]}', "No such table.", id="function"),
        pytest.param("Timed out after 300 s", "Timed out after 300 s", id="plain text"),
        pytest.param('"quoted"', '"quoted"', id="other JSON"),
        pytest.param(None, None, id="none"),
    ],
)
def test_cause_becomes_a_message(cause: str | None, message: str | None) -> None:
    assert readable(cause) == message
