import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from local.aws.deployment import STATE_MACHINE
from totes.alerts.executions import Execution, FailedAttempt, StateRun
from web.folding import failure_states
from web.progress import Status, current_runs, execution_status, progress, run_status, said, ways_taken
from web.workflow import parse_workflow

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
WORKFLOW = parse_workflow(json.loads(STATE_MACHINE.read_text(encoding="utf-8")))
ON_FAILURE = failure_states(WORKFLOW)
BUSY = FailedAttempt(START, "SourceBusy", "totesys is locked.")
DONE = StateRun("Ingest", START, START + timedelta(seconds=2), attempts=1)
HEALED = replace(DONE, attempts=2, failures=(BUSY,))
CAUGHT = replace(DONE, error="ContractViolation", failures=(FailedAttempt(START, "ContractViolation", "staff 7"),))
AT_WORK = StateRun("Ingest", START, attempts=1)
AGAIN = replace(AT_WORK, attempts=2, error="SourceBusy", failures=(BUSY,))


def execution(status: str, *states: StateRun, **more: str) -> Execution:
    stopped = None if status == "RUNNING" else START + timedelta(seconds=3)
    found = Execution("arn:x", "x", status, START, stopped, states=states)
    return replace(found, error=more.get("error"), cause=more.get("cause"))


@pytest.mark.parametrize(
    ("run", "status"),
    [
        (DONE, Status.SUCCEEDED),
        (HEALED, Status.RETRIED),
        (CAUGHT, Status.FAILED),
        (AT_WORK, Status.RUNNING),
        (AGAIN, Status.RETRYING),
    ],
)
def test_state_tells_what_became_of_it(run: StateRun, status: Status) -> None:
    assert run_status(run, execution("RUNNING", run), ON_FAILURE) is status


@pytest.mark.parametrize("ended", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_state_in_which_an_execution_ended_badly_has_failed(ended: str) -> None:
    found = execution(ended, DONE, replace(DONE, name="Load"))
    assert [run_status(run, found, ON_FAILURE) for run in found.states] == [Status.SUCCEEDED, Status.FAILED]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("RUNNING", Status.RUNNING),
        ("SUCCEEDED", Status.SUCCEEDED),
        ("FAILED", Status.FAILED),
        ("ABORTED", Status.FAILED),
    ],
)
def test_execution_tells_what_became_of_it(status: str, shown: Status) -> None:
    assert execution_status(execution(status)) is shown


def test_every_status_has_a_mark_of_its_own() -> None:
    marks = {status: status.mark for status in Status}
    assert marks.pop(Status.RETRYING) == marks[Status.RETRIED]
    assert len(set(marks.values())) == len(marks)


@pytest.mark.parametrize(
    ("found", "note", "label"),
    [
        (None, "task", "Ingest, Task: not reached"),
        (execution("SUCCEEDED", DONE), "2.0 s", "Ingest, Task: succeeded, 2.0 s"),
        (execution("RUNNING", HEALED), "2 attempts, 2.0 s", "Ingest, Task: retried, 2 attempts, 2.0 s"),
        (execution("RUNNING", CAUGHT), "ContractViolation", "Ingest, Task: failed, 2.0 s, ContractViolation"),
        (execution("RUNNING", AT_WORK), "5.0 s", "Ingest, Task: running, 5.0 s"),
        (execution("RUNNING", AGAIN), "SourceBusy", "Ingest, Task: retrying, 2 attempts, 5.0 s, SourceBusy"),
        (execution("ABORTED", DONE), "ABORTED", "Ingest, Task: failed, 2.0 s, ABORTED"),
    ],
)
def test_box_says_it_in_a_word_and_the_label_in_full(found: Execution | None, note: str, label: str) -> None:
    shown = progress(WORKFLOW, WORKFLOW, found, START + timedelta(seconds=5))["Ingest"]
    assert (shown.note, shown.label) == (note, label)


def test_every_state_is_shown_reached_or_not() -> None:
    shown = progress(WORKFLOW, WORKFLOW, execution("RUNNING", DONE), START)
    assert shown.keys() == WORKFLOW.states.keys()
    assert {name for name, state in shown.items() if state.status is not Status.NOT_REACHED} == {"Ingest"}


def test_last_pass_through_a_state_is_shown() -> None:
    found = execution("RUNNING", CAUGHT, replace(DONE, name="Load"), AT_WORK)
    assert progress(WORKFLOW, WORKFLOW, found, START)["Ingest"].status is Status.RUNNING


def test_long_error_is_shortened_in_the_box_only() -> None:
    long = "Lambda.ClientExecutionTimeoutException"
    shown = progress(WORKFLOW, WORKFLOW, execution("RUNNING", replace(CAUGHT, error=long)), START)["Ingest"]
    assert len(shown.note) < len(long)
    assert long in shown.label


def test_ways_taken_join_states_in_their_order() -> None:
    found = execution("RUNNING", DONE, replace(DONE, name="NewData?"), replace(DONE, name="Load"))
    assert ways_taken(found.states) == {("Ingest", "NewData?"), ("NewData?", "Load")}
    assert ways_taken(()) == set()


def test_state_that_dealt_with_a_failure_has_not_succeeded() -> None:
    report, failed = replace(DONE, name="Report"), replace(DONE, name="Failed")
    found = execution("FAILED", CAUGHT, report, failed)
    became = [run_status(run, found, ON_FAILURE) for run in found.states]
    assert became == [Status.FAILED, Status.HANDLED, Status.FAILED]
    at_work = replace(AT_WORK, name="Report")
    assert run_status(at_work, execution("RUNNING", CAUGHT, at_work), ON_FAILURE) is Status.RUNNING
    broken = replace(CAUGHT, name="Report")
    assert run_status(broken, execution("RUNNING", CAUGHT, broken), ON_FAILURE) is Status.FAILED


def test_redriven_execution_is_drawn_from_where_it_began_again() -> None:
    names = ["Ingest", "IngestFailed", "Failed", "Ingest", "NewData?"]
    found = execution("RUNNING", *(replace(DONE, name=name) for name in names))
    assert [run.name for run in current_runs(WORKFLOW, found)] == ["Ingest", "NewData?"]
    assert [run.name for run in current_runs(WORKFLOW, execution("RUNNING", *found.states[:3]))] == names[:3]
    assert current_runs(WORKFLOW, None) == ()


def test_one_line_says_what_an_execution_did() -> None:
    loaded = {"first": 3, "last": 3, "batches": 1, "inserted": {"fact_payment": 7}, "updated": {}, "tombstones": {}}
    assert said(execution("RUNNING")) == "starting"
    assert said(execution("RUNNING", DONE, replace(DONE, name="Load"))) == "in Load"
    assert said(execution("FAILED", error="LogBroken", cause="A gap.")) == "LogBroken: A gap."
    assert said(execution("ABORTED")) == "ABORTED: no cause given"
    assert said(execution("SUCCEEDED")) == "nothing new: no object and no row was written"
    done = replace(execution("SUCCEEDED", HEALED), output={"load": loaded})
    assert said(done) == "batch 3 loaded: payment 7; retried after SourceBusy"
