"""The scenario judges executions correctly, and the table judges rows correctly."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from local.stack import Mail
from tests.faults import table
from tests.faults.catalogue import NUMBERS, Catalogue, Part, Row
from tests.faults.outcome import Effect, Execution, classify, contradictions, mails_due, read_history
from tests.faults.scenario import HEAL, HOLD, NOOP, WARN, fault

BEFORE, AFTER = Effect(frozenset(), {"dim_staff": "a"}), Effect(frozenset({"x"}), {"dim_staff": "b"})
LOADED = Execution(
    arn="arn:1",
    status="SUCCEEDED",
    error="",
    cause="",
    path=["Ingest", "Load", "Loaded"],
    retried=[],
    output={"ingest": {"warnings": []}},
    mails=[],
    remedy="",
    unsent=False,
    ended=datetime(2026, 11, 28, tzinfo=UTC),
    before=BEFORE,
    after=AFTER,
)
IDLE = replace(LOADED, path=["Ingest", "Load", "NothingNew"], after=BEFORE)
SAID = Mail(
    "totes-local-pipeline: Load failed with LogBroken, 5 min behind",
    "Load failed with LogBroken.\n\nA gap. Restore it.\n\narn:1",
)
FAILED = replace(
    LOADED,
    status="FAILED",
    error="LogBroken",
    cause="A gap.\nRemedy: Restore it.",
    path=["Ingest", "Load", "LoadFailed", "NotifyFailure", "Failed"],
    mails=[SAID],
    remedy="Restore it.",
    after=BEFORE,
)
TIMED_OUT = replace(LOADED, status="TIMED_OUT", path=["Ingest", "Load"], after=BEFORE)
ENDED = "of an execution that ended FAILED: A gap.\nRemedy: Restore it."
ODD = replace(LOADED, output={"ingest": {"warnings": ["a date of 2099"]}})


@pytest.mark.parametrize(
    ("executions", "outcome"),
    [
        ([LOADED], HEAL),
        ([LOADED, IDLE], NOOP),
        ([LOADED, replace(IDLE, after=AFTER)], HEAL),
        ([LOADED, FAILED, LOADED], HOLD),
        ([LOADED, ODD, LOADED], WARN),
        ([ODD, FAILED, LOADED], HOLD),
        ([LOADED, TIMED_OUT, LOADED], HOLD),
    ],
)
def test_outcome_is_told_from_executions(executions: list[Execution], outcome: object) -> None:
    assert classify(executions) == outcome
    assert contradictions(executions) == []


def test_failed_run_that_changed_the_warehouse_contradicts() -> None:
    (said,) = contradictions([replace(FAILED, after=AFTER), LOADED])
    assert said.startswith("LogBroken failed the execution, and the warehouse has changed")


def test_failed_run_after_which_none_succeeds_contradicts() -> None:
    assert contradictions([LOADED, FAILED]) == ["no run has caught up; the last one said: A gap.\nRemedy: Restore it."]


def judged(execution: Execution) -> list[str]:
    """Returns the contradictions of I5 for an execution that has no predecessor."""
    return execution.mail_violations(*mails_due([execution]))


def test_mail_that_says_all_is_accepted() -> None:
    assert judged(FAILED) == judged(LOADED) == []


@pytest.mark.parametrize(
    ("execution", "violation"),
    [
        (replace(LOADED, mails=[SAID]), "I5 1 mails, not 0, of an execution that ended SUCCEEDED: "),
        (
            replace(FAILED, mails=[]),
            "I5 0 mails, not 1, of an execution that ended FAILED: A gap.\nRemedy: Restore it.",
        ),
        (replace(FAILED, mails=[SAID, SAID]), f"I5 2 mails, not 1, {ENDED}"),
        (replace(FAILED, cause="Another."), "I5 the mail lacks cause"),
        (replace(FAILED, remedy="Call us."), "I5 the mail lacks remedy"),
        (replace(FAILED, arn="arn:2"), "I5 the mail lacks execution"),
        (
            replace(FAILED, unsent=True),
            "I5 1 mails, not 0, of an execution that ended FAILED: A gap.\nRemedy: Restore it.",
        ),
        (replace(FAILED, path=["Ingest", "Failed"]), f"I5 the mail lacks the right subject ({SAID.subject})"),
    ],
)
def test_wrong_mails_are_named(execution: Execution, violation: str) -> None:
    assert violation in judged(execution)


def test_execution_that_can_send_no_mail_needs_the_alarm_of_freshness(monkeypatch: pytest.MonkeyPatch) -> None:
    mute = replace(FAILED, unsent=True, mails=[])
    assert judged(mute) == []
    monkeypatch.setattr("tests.faults.outcome.telling", lambda _: ())
    assert judged(mute) == ["I5 0 alarms tell that no execution has succeeded"]


def test_execution_that_no_catch_sees_needs_the_mail_of_the_rule() -> None:
    assert judged(TIMED_OUT) == [f"I5 0 mails, not 1, of an execution that ended TIMED_OUT: {TIMED_OUT.cause}"]
    said = Mail("totes-local-pipeline: Load timed out, 5 min behind", f"In Load, {TIMED_OUT.arn}")
    assert judged(replace(TIMED_OUT, mails=[said])) == []


def after(execution: Execution, **times: float) -> Execution:
    return replace(execution, ended=FAILED.ended + timedelta(**times))


@pytest.mark.parametrize(
    ("executions", "due"),
    [
        ([FAILED, after(FAILED, minutes=58)], [True, False]),
        ([FAILED, after(FAILED, minutes=59), after(FAILED, hours=24)], [True, True, False]),
        ([FAILED, after(FAILED, hours=1), after(FAILED, hours=2), after(FAILED, hours=25)], [True, True, False, True]),
        ([FAILED, LOADED, FAILED], [True, False, True]),
        ([FAILED, replace(FAILED, cause="Another number.")], [True, False]),
        ([FAILED, replace(FAILED, error="CorruptObject"), FAILED], [True, True, False]),
        ([FAILED, replace(FAILED, path=["Ingest", "IngestFailed"])], [True, True]),
        ([FAILED, replace(FAILED, cause="A gap.\nTables: staff\nRemedy: Restore it.")], [True, True]),
        ([replace(FAILED, unsent=True), FAILED, FAILED], [True, True, False]),
        ([FAILED, replace(LOADED, output={"load": {"catching_up": "arn:2"}}), FAILED], [True, False, False]),
    ],
)
def test_mails_are_due_by_kind_and_time(executions: list[Execution], due: list[bool]) -> None:
    assert mails_due(executions) == due


def test_mail_that_repeats_a_failure_too_soon_is_named() -> None:
    (said,) = FAILED.mail_violations(due=False)
    assert said.startswith("I5 1 mails, not 0, of")


def test_history_tells_path_and_retries() -> None:
    events: list[dict[str, Any]] = [
        {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Load"}},
        {"type": "TaskScheduled"},
        {"type": "TaskFailed", "taskFailedEventDetails": {"error": "WarehouseBusy"}},
        {"type": "TaskScheduled"},
        {"type": "TaskTimedOut", "taskTimedOutEventDetails": {"error": "States.Timeout"}},
        {"type": "TaskStateExited"},
        {"type": "FailStateEntered", "stateEnteredEventDetails": {"name": "Failed"}},
    ]
    assert read_history(events) == (["Load", "Failed"], ["WarehouseBusy"])


@pytest.mark.parametrize("name", ["test_silent_update", "test_f09_silent_update"])
def test_row_is_named_after_its_number(name: str) -> None:
    def row(scenario: object) -> None: ...

    row.__name__ = name
    with pytest.raises(AssertionError, match="is not named after F08"):
        fault("F08", "", HEAL)(row)


def report(when: str = "call", **changes: Any) -> Any:
    return SimpleNamespace(
        **{"when": when, "failed": False, "skipped": False, "nodeid": "t", "longrepr": "why"} | changes
    )


PART = Part("test_lake.py", "F28", "503 | 500", HEAL)


@pytest.mark.parametrize(
    ("reports", "passed", "verdict"),
    [
        ([report("setup"), report(), report("teardown")], True, "passed"),
        ([report(failed=True)], False, "failed"),
        ([report(), report("teardown", failed=True)], False, "failed"),
        ([report(), report(failed=True)], False, "failed"),
        ([report(skipped=True, wasxfail="not built")], False, "not yet: not built"),
        ([report("setup", skipped=True)], False, "missing"),
        ([], False, "missing"),
    ],
)
def test_row_passes_when_all_its_tests_do(reports: list[Any], passed: bool, verdict: str) -> None:
    catalogue = Catalogue()
    for said in reports:
        catalogue.note(said, PART, HEAL)
    row = catalogue.rows.get("F28", Row("F28"))
    assert row.passed is passed
    assert table.verdict(row).endswith(verdict)


def test_catalogue_is_complete_with_all_its_rows() -> None:
    catalogue = Catalogue()
    for number in NUMBERS:
        assert not catalogue.complete
        catalogue.note(report(), replace(PART, number=number), HEAL)
    assert catalogue.complete
    assert catalogue.passed


def test_parts_of_a_row_are_one_line_of_the_promise() -> None:
    catalogue = Catalogue()
    catalogue.note(report(), PART, HEAL)
    catalogue.note(report(), replace(PART, what="then for good", outcome=HOLD, because="so it is"), HOLD)
    (line,) = [line for line in table.markdown(catalogue.rows).splitlines() if "F28" in line]
    assert line == (
        r"| F28 | 503 \| 500; then for good. Because so it is. | HEAL, HOLD | HEAL, HOLD "
        "| [test_lake.py](../tests/faults/test_lake.py) |"
    )


def test_stale_promise_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    page = tmp_path / "promise.md"
    page.write_text("# Before\n<!-- faults -->\nold\n<!-- /faults -->\nafter\n")
    monkeypatch.setattr(table, "PROMISE", page)
    assert table.promise_is_stale({})
    table.write_promise({})
    assert not table.promise_is_stale({})
    assert page.read_text().startswith("# Before\n<!-- faults -->\n| # |")
    assert page.read_text().endswith("<!-- /faults -->\nafter\n")
