"""The workflow's promises that validators of the Amazon States Language do not check."""

import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest

from local.aws.deployment import BACKFILL, STATE_MACHINE, Deployment
from totes.errors import TotesError, TransientError
from totes.ingest import Ingested
from totes.load import LoadResult
from totes.postgres.connection import CONNECT_SECONDS
from totes.postgres.session import LOCK_SECONDS, STATEMENT_SECONDS
from totes.runtime.names import FUNCTIONS
from totes.transform import Transformed

MACHINE = json.loads(STATE_MACHINE.read_text(encoding="utf-8"))
STATES: dict[str, dict[str, Any]] = MACHINE["States"]
TASKS = [state for state in STATES.values() if state["Type"] == "Task"]
STAGES = {name: STATES[name] for name in ("Ingest", "Transform", "Load")}
BACKFILL_STATES: dict[str, dict[str, Any]] = json.loads(BACKFILL.read_text(encoding="utf-8"))["States"]
MAPS = {name: state for name, state in BACKFILL_STATES.items() if state["Type"] == "Map"}
# A year of batches, one every five minutes. Transform and Load take a second for each: twice as long as measured.
YEAR_OF_BATCHES = 365 * 24 * 12
SECONDS_A_BATCH = 1
# Step Functions' limit of events in an execution: one that has more fails.
LONGEST_HISTORY = 25_000


def nexts(state: dict[str, Any]) -> Iterator[str]:
    for part in (state, *state.get("Choices", ()), *state.get("Catch", ())):
        yield from (part[field] for field in ("Next", "Default") if field in part)


def kinds(root: type[Exception]) -> set[str]:
    return {name for kind in root.__subclasses__() for name in {kind.__name__, *kinds(kind)}}


def test_every_transition_leads_to_a_state() -> None:
    assert {target for state in STATES.values() for target in nexts(state)} <= STATES.keys()


def test_every_state_is_reachable() -> None:
    reached, ahead = set(), [MACHINE["StartAt"]]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += nexts(STATES[name])
    assert reached == STATES.keys()


def test_every_state_goes_on_or_ends() -> None:
    for name, state in STATES.items():
        assert bool(list(nexts(state))) != (state["Type"] in ("Succeed", "Fail")), name


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_calls_the_function_of_its_name(stage: str) -> None:
    assert stage.lower() in FUNCTIONS
    assert STAGES[stage]["Parameters"]["FunctionName"] == f"#{{{stage}LambdaFunction.Arn}}"
    assert callable(importlib.import_module(f"functions.{stage.lower()}").handler)


def test_stages_are_retried_alike() -> None:
    ingest, transform, load = (stage["Retry"] for stage in STAGES.values())
    assert ingest == transform == load


def test_all_transient_errors_are_retried_and_no_other_of_ours() -> None:
    retried = [error for retrier in STAGES["Ingest"]["Retry"] for error in retrier["ErrorEquals"]]
    assert len(retried) == len(set(retried))
    ours = {error for error in retried if "." not in error} - {"MemoryError"}
    assert ours == kinds(TransientError)
    assert ours < kinds(TotesError)


def test_waits_between_attempts_are_capped_and_scattered() -> None:
    retriers = [
        retrier for state in STATES.values() for retrier in state.get("Retry", ()) if retrier["MaxAttempts"] > 1
    ]
    # Two functions of each stage, one of Report, NotifyFailure and Failed.
    assert len(retriers) == 2 * len(STAGES) + 3
    for retrier in retriers:
        assert retrier["IntervalSeconds"] <= retrier["MaxDelaySeconds"] <= 60
        assert (retrier["BackoffRate"], retrier["JitterStrategy"]) == (2, "FULL")


@pytest.mark.parametrize("field", ["Retry", "Catch"])
def test_catch_all_stands_last_and_alone(field: str) -> None:
    for state in STATES.values():
        lists = [entry["ErrorEquals"] for entry in state.get(field, ())]
        assert all("States.ALL" not in errors for errors in lists[:-1])
        assert not lists or "States.ALL" not in lists[-1] or len(lists[-1]) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_every_failure_of_a_stage_is_caught(stage: str) -> None:
    caught = {error: catcher for catcher in STAGES[stage]["Catch"] for error in catcher["ErrorEquals"]}
    # On AWS, States.ALL does not catch States.DataLimitExceeded.
    assert caught.keys() == {"States.DataLimitExceeded", "States.ALL"}
    assert {catcher["Next"] for catcher in caught.values()} == {f"{stage}Failed"}
    assert STATES[f"{stage}Failed"]["Parameters"]["failure"]["State"] == stage
    # The error could not be added to an input that is no object.
    assert all("ResultPath" not in catcher for catcher in caught.values())


def test_unsent_mail_still_fails_the_execution() -> None:
    notify = STATES["NotifyFailure"]
    assert [catcher["ErrorEquals"] for catcher in notify["Catch"]] == [["States.ALL"]]
    assert set(nexts(notify)) == {"Failed"}
    assert "Catch" not in STATES["Failed"]


def test_failed_state_can_be_redriven() -> None:
    # AWS's Redrive fails a Fail state again, but starts a Task again.
    assert "Fail" not in {state["Type"] for state in STATES.values()}
    failed = STATES["Failed"]
    assert (failed["Type"], failed["Next"]) == ("Task", MACHINE["StartAt"])
    assert failed["OutputPath"] == "$$.Execution.Input"
    # RedriveTime can't be named by itself: before the first redrive the context object has none.
    assert failed["Parameters"]["Payload"]["context.$"] == "$$.Execution"
    assert {STATES[f"{stage}Failed"]["Parameters"]["caught.$"] for stage in STAGES} == {"$$.State.EnteredTime"}


def test_time_limits_nest() -> None:
    functions = {Deployment("dev").timeout(name.lower()) for name in STAGES}
    tasks = {stage["TimeoutSeconds"] for stage in STAGES.values()}
    limits = [
        LOCK_SECONDS,
        STATEMENT_SECONDS,
        STATEMENT_SECONDS + CONNECT_SECONDS,
        min(functions),
        max(functions),
        min(tasks),
        max(tasks),
    ]
    assert all(inner <= outer for inner, outer in pairwise(limits))
    assert min(functions) > STATEMENT_SECONDS
    assert max(functions) < min(tasks)
    assert Deployment("dev").timeout("report") < STATES["Report"]["TimeoutSeconds"]
    assert Deployment("dev").timeout("fail") < STATES["Failed"]["TimeoutSeconds"]
    # Each stage may time out once, and the mail must still be sent.
    assert sum(state.get("TimeoutSeconds", 0) for state in STATES.values()) < MACHINE["TimeoutSeconds"]


def test_one_execution_can_catch_up_with_a_year() -> None:
    assert MACHINE["TimeoutSeconds"] > YEAR_OF_BATCHES * SECONDS_A_BATCH
    # In a pass that leaves batches, a function has used half of its time. A task makes five events, a choice two.
    passes = MACHINE["TimeoutSeconds"] / (Deployment("dev").timeout("load") / 2)
    assert passes * (5 + 5 + 2) < LONGEST_HISTORY * 0.6


def test_passes_continue_beside_another_execution() -> None:
    """If this execution left batches to another one in Load, it may still have batches to process that no other one
    knows.
    """
    assert [choice["Next"] for choice in STATES["MoreToDo?"]["Choices"]] == ["Transform", "AnotherCatchesUp"]
    assert STATES["MoreToDo?"]["Default"] == "AnythingLoaded?"


def test_stages_are_told_what_those_before_have_done() -> None:
    for stage in ("Transform", "Load"):
        assert STAGES[stage]["Parameters"]["Payload"]["so_far.$"] == "$"


@pytest.mark.parametrize(
    ("stage", "result", "computed", "in_warnings"),
    [
        ("Ingest", Ingested, {"new_data", "warnings"}, {"undeclared", "ahead", "unlogged", "clock_back"}),
        ("Transform", Transformed, {"batches"}, set()),
        ("Load", LoadResult, {"batches"}, {"processed_through"}),
    ],
)
def test_output_has_every_field_of_the_result(
    stage: str, result: type, computed: set[str], in_warnings: set[str]
) -> None:
    expected = {field.name for field in fields(result)} - in_warnings | computed
    assert STAGES[stage]["ResultSelector"] == {f"{name}.$": f"$.Payload.{name}" for name in expected}
    assert STAGES[stage]["ResultPath"] == f"$.{stage.lower()}"


def test_choices_look_at_what_results_hold() -> None:
    variables = [choice["Variable"] for state in STATES.values() for choice in state.get("Choices", ())]
    for path in variables:
        _, result, field = path.split(".")
        if result != "failure":
            (state,) = (
                state for state in STATES.values() if state.get("ResultPath") == f"$.{result}" and "Retry" in state
            )
            assert f"{field}.$" in state["ResultSelector"]
    assert variables[1:4] == ["$.load.more", "$.load.catching_up", "$.load.batches"]


def test_workflow_refers_to_the_deployed_resources_only() -> None:
    references = set(re.findall(r"#\{([^}]*)\}", STATE_MACHINE.read_text(encoding="utf-8")))
    assert references == {f"{name}LambdaFunction.Arn" for name in (*STAGES, "Report", "Fail")} | {"AlertsTopic"}


def test_report_that_cannot_be_made_is_no_reason_not_to_tell() -> None:
    (catcher,) = STATES["Report"]["Catch"]
    assert (catcher["ErrorEquals"], catcher["Next"]) == (["States.ALL"], "ReportPlainly")
    assert STATES["MailDue?"]["Default"] == STATES["ReportPlainly"]["Next"] == "NotifyFailure"
    made = {field.removesuffix(".$") for field in STATES["Report"]["ResultSelector"]}
    assert made - {"due", "repeats"} == {field.removesuffix(".$") for field in STATES["ReportPlainly"]["Parameters"]}


def test_mail_is_passed_over_only_where_the_report_says_so() -> None:
    assert STATES["Report"]["Next"] == "MailDue?"
    assert STATES["MailDue?"]["Choices"] == [{"Variable": "$.mail.due", "BooleanEquals": False, "Next": "Failed"}]


def tasks_of_backfill() -> dict[str, dict[str, Any]]:
    """Yields all tasks of a backfill, including those within Maps."""
    inside = [state["ItemProcessor"]["States"] for state in MAPS.values()]
    states = {name: state for group in (BACKFILL_STATES, *inside) for name, state in group.items()}
    return {name: state for name, state in states.items() if state["Type"] == "Task"}


def test_backfill_is_retried_as_the_stages_are() -> None:
    tasks = tasks_of_backfill()
    assert len(tasks) == 4 + len(MAPS)
    assert [name for name, task in tasks.items() if task["Retry"] != STAGES["Ingest"]["Retry"]] == []


def test_time_limits_of_a_backfill_nest() -> None:
    execution = json.loads(BACKFILL.read_text(encoding="utf-8"))["TimeoutSeconds"]
    for task in tasks_of_backfill().values():
        function = Deployment("dev").timeout(called_by(task))
        assert STATEMENT_SECONDS + CONNECT_SECONDS < function < task["TimeoutSeconds"] < execution


def test_backfill_reads_totesys_by_a_function_of_its_own() -> None:
    called = {name: called_by(task) for name, task in tasks_of_backfill().items()}
    assert called == {
        **dict.fromkeys(("Plan", "ReadDimension", "ReadFact", "Land"), "backfill"),
        **dict.fromkeys(("ProcessBatch", "Process"), "transform"),
        "Load": "load",
    }


def called_by(task: dict[str, Any]) -> str:
    name: str = task["Parameters"]["FunctionName"]
    return name.removeprefix("#{").removesuffix("LambdaFunction.Arn}").lower()


@pytest.mark.parametrize("task", ["Process", "Load"])
def test_backfill_goes_on_with_a_stage_while_there_is_more(task: str) -> None:
    choice = BACKFILL_STATES[BACKFILL_STATES[task]["Next"]]
    ((more,), result) = choice["Choices"], BACKFILL_STATES[task]["ResultPath"]
    assert (more["Variable"], more["BooleanEquals"], more["Next"]) == (f"{result}.more", True, task)
    assert BACKFILL_STATES[task]["ResultSelector"]["more.$"] == "$.Payload.more"


def test_backfill_catches_nothing_so_that_it_can_be_redriven_where_it_failed() -> None:
    assert not [name for name, state in BACKFILL_STATES.items() if "Catch" in state or state["Type"] == "Fail"]


@pytest.mark.parametrize("name", MAPS)
def test_results_of_ten_thousand_parts_fit_into_what_step_functions_takes(name: str) -> None:
    (part,) = MAPS[name]["ItemProcessor"]["States"].values()
    (field,) = part["ResultSelector"]
    result = json.dumps({field.removesuffix(".$"): 10_000_000}, separators=(",", ":")) + ","
    assert len(result) * 10_000 < 256 * 1024
    assert MAPS[name]["ResultPath"] is None
