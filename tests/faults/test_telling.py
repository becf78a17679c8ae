"""F40 to F44: every message is sent once, short and without secrets; or an alarm replaces it."""

import json
from typing import Any

import pytest

from local.lambda_runtime.runtime import InvokeResult, ServiceError
from tests.conftest import Declares
from tests.faults.alarms import watching
from tests.faults.outcome import Execution, one_line
from tests.faults.scenario import HOLD, WARN, Scenario, fault, on
from tests.faults.workers import aborting, execution_limit, load_hangs, waiting
from tests.support.injection import at_statement, die
from totes.contracts.declarations import source_tables, warehouse_tables
from totes.runtime.names import STAGES

MOST_BYTES = 32_768
AMENDMENT = "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 7"
POISONED_ORDERS = (
    "INSERT INTO sales_order (created_at, last_updated, design_id, staff_id, counterparty_id, units_sold, unit_price, "
    "currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id) "
    "SELECT TIMESTAMP '2024-11-18', TIMESTAMP '2024-11-18', 1, 1, 1, 1, 2.5, 1, '2024-11-20', repeat('soon ', 100), 1 "
    "FROM generate_series(1, %s)"
)
POINTER = "the e-mail has five samples. All rows are in totesys or in etl.quarantine, so S3 needs no copy"


@fault("F40", "12,000 rows break their contract", HOLD, because=POINTER)
def test_f40_thousands_of_rejects_are_a_count_and_samples(scenario: Scenario) -> None:
    scenario.totesys(POISONED_ORDERS, 12_000)

    failed = scenario.run()

    assert one_line(failed.mails[0].message).count("agreed_payment_date is 'soon ") == 5
    assert "; and 11995 more." in failed.mail
    assert told_bytes(scenario, failed) < MOST_BYTES
    scenario.totesys("DELETE FROM sales_order WHERE agreed_payment_date LIKE 'soon%%'")
    scenario.totesys(AMENDMENT)
    scenario.run()


@fault("F40", "9,000 rows are quarantined", WARN)
def test_f40_thousands_set_aside_are_a_count(scenario: Scenario, quarantined: Declares) -> None:
    quarantined("sales_order")
    scenario.totesys(POISONED_ORDERS, 9_000)
    poisoned = scenario.totesys("SELECT sales_order_id FROM sales_order WHERE agreed_payment_date LIKE 'soon%%'")
    scenario.history_checker.quarantined[2] = {("sales_order", key) for (key,) in poisoned}

    odd = scenario.run()

    assert odd.warnings == ["sales_order has 9,000 rows that are quarantined: see etl.quarantine"]
    assert odd.output["ingest"]["quarantined"] == {"sales_order": 9_000}
    assert scenario.star("SELECT count(*) FROM etl.quarantine") == [[9_000]]
    assert told_bytes(scenario, odd) < MOST_BYTES


@on("small_totesys")
@fault("F40", "every table has 300 new columns", WARN)
def test_f40_hundreds_of_new_columns_are_a_count_and_samples(scenario: Scenario) -> None:
    longest = "x" * 58
    for table in source_tables():
        scenario.totesys(f"ALTER TABLE {table} " + ", ".join(f"ADD {longest}_{n:04} integer" for n in range(300)))

    odd = scenario.run()

    assert len(odd.warnings) == len(source_tables())
    assert all("no contract declares" in line and line.endswith("and 295 more") for line in odd.warnings)
    assert odd.output["load"]["inserted"].keys() == warehouse_tables().keys()
    assert told_bytes(scenario, odd) < MOST_BYTES


@fault(
    "F41",
    "the execution runs out of time",
    HOLD,
    nearest="the test calls the rule's function as EventBridge would",
)
def test_f41_execution_that_times_out_is_told_by_the_rule(scenario: Scenario) -> None:
    scenario.totesys("UPDATE payment SET paid = NOT paid WHERE payment_id = 9")

    with load_hangs(scenario) as end, execution_limit(scenario, seconds=3):
        failed = scenario.run()
        assert failed.status == "TIMED_OUT"
        assert waiting(scenario) == ["fact_payment"]
        end()

    # Lambda continues without the execution, so its load may or may not commit before the next one's.
    scenario.run()


@fault("F41", "the execution is aborted", HOLD)
@pytest.mark.parametrize("function", ["ingest", "transform"])
def test_f41_execution_that_is_aborted_is_told_by_the_rule(scenario: Scenario, function: str) -> None:
    scenario.totesys(AMENDMENT)

    with scenario.instead(function, aborting(scenario)):
        failed = scenario.run()

    assert (failed.status, failed.path[-1]) == ("ABORTED", function.title())
    assert scenario.run().output["load"]["batches"] == 1


@fault(
    "F42",
    "a failed run is redriven after newer ones have succeeded",
    HOLD,
    because="the redriven run had failed; the redrive itself changes nothing",
    nearest="the test invokes each function with the old event, and resumes the workflow where it had ended",
)
def test_f42_redrive_after_newer_runs_changes_nothing(scenario: Scenario) -> None:
    scenario.totesys(AMENDMENT)
    failed = load_fails(scenario, {"full_read": ["staff"]})
    for _ in range(2):
        scenario.totesys(AMENDMENT)
        scenario.run()
    before = scenario.effect()

    for function in ("ingest", "transform", "load"):
        assert redriven(scenario, function, failed).function_error is None
    assert scenario.effect() == before
    # A table that is read in full makes a batch, but the batch brings no new row.
    again = scenario.redrive(failed)
    assert again.output["ingest"]["rows"]["staff"] == 20
    assert again.output["load"]["inserted"] == again.output["load"]["updated"] == {}


@fault("F42", "a failed run is redriven while newer batches wait", HOLD)
def test_f42_redrive_before_newer_runs_loads_all_in_order(scenario: Scenario) -> None:
    scenario.totesys(AMENDMENT)
    failed = load_fails(scenario)
    scenario.totesys(AMENDMENT)
    load_fails(scenario)

    answer = redriven(scenario, "load", failed)

    assert (answer.payload["first"], answer.payload["last"], answer.payload["inserted"]) == (
        2,
        3,
        {"fact_sales_order": 2},
    )
    assert scenario.redrive(failed).path == [
        "Failed",
        "Ingest",
        "NewData?",
        "Load",
        "MoreToDo?",
        "AnythingLoaded?",
        "NothingNew",
    ]


@fault("F42", "a failed run is redriven after its cause has gone", HOLD)
@pytest.mark.parametrize("stage", STAGES)
def test_f42_redrive_of_what_failed_with_a_mail_begins_anew(scenario: Scenario, stage: str) -> None:
    scenario.totesys(AMENDMENT)
    with scenario.instead(stage.lower(), refused):
        failed = scenario.run()
    assert (failed.error, failed.path[-1], len(failed.mails)) == ("Lambda.EC2AccessDeniedException", "Failed", 1)

    redriven = scenario.redrive(failed)

    assert (redriven.path[:2], redriven.path[-1], redriven.mails) == (["Failed", "Ingest"], "Loaded", [])
    assert redriven.output["load"]["updated"] | redriven.output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F42", "a failed run is redriven while its cause lasts, or fails for another one", HOLD)
def test_f42_redrive_that_fails_otherwise_is_told(scenario: Scenario) -> None:
    scenario.totesys(AMENDMENT)
    failed = load_fails(scenario)

    with at_statement("pg_advisory_xact_lock", die, times=2):
        again = scenario.redrive(failed)
    with scenario.instead("ingest", refused):
        otherwise = scenario.redrive(again)

    errors = ["Runtime.ExitError", "Runtime.ExitError", "Lambda.EC2AccessDeniedException"]
    assert [execution.error for execution in (failed, again, otherwise)] == errors
    # A redriven execution that fails in the same way repeats the earlier mail.
    assert [len(execution.mails) for execution in (failed, again, otherwise)] == [1, 0, 1]
    assert scenario.redrive(otherwise).output["load"]["batches"] == 1


def refused(_name: str, _event: dict[str, Any]) -> InvokeResult:
    raise ServiceError("EC2AccessDeniedException", "As the test says.", 502)


@fault(
    "F43",
    "SNS refuses every message",
    HOLD,
    because="the alarm on failed executions undoes an update but sends no e-mail: the execution sends its own. "
    "The rule's function tries once more; if that fails too, its own alarm and the freshness alarm send e-mails",
    nearest="the alarms' declarations are checked",
)
def test_f43_execution_fails_though_no_mail_can_be_sent(scenario: Scenario) -> None:
    scenario.totesys(AMENDMENT)

    with scenario.mute():
        failed = load_fails(scenario)

    assert (failed.error, failed.path[-2:]) == ("Runtime.ExitError", ["NotifyFailure", "Failed"])
    assert len([error for error in failed.retried if error.startswith("SNS.")]) == 3
    assert watching("ExecutionsFailed") == {"totes-dev-failed": False}
    assert watching("ExecutionsSucceeded") == {"totes-dev-freshness": True}
    assert scenario.run().output["load"]["batches"] == 1


SECRETS = {
    "url": ("postgresql://loader:hunter2@db:5432/warehouse", "hunter2"),
    "pair": ("host=db password=hunter3 user=loader", "hunter3"),
    "json": ('{"username": "loader", "password": "hunter4"}', "hunter4"),
}


@fault("F44", "a cause has 30 KB, with a password at either end", HOLD)
@pytest.mark.parametrize("secret", SECRETS)
def test_f44_long_foreign_cause_is_told_in_short_without_its_secret(scenario: Scenario, secret: str) -> None:
    scenario.totesys(AMENDMENT)
    text, password = SECRETS[secret]

    with at_statement("pg_advisory_xact_lock", lambda: raise_error(f"{text} {'ошибка 👜 ' * 3_400} {text}")):
        failed = scenario.run()

    assert failed.error == "UnexpectedError"
    (mail,) = failed.mails
    assert len(mail.message.encode()) < 256_000
    assert len(mail.message) < 6_000
    assert mail.subject.isascii()
    assert len(mail.subject) <= 100
    # The log has all of it, and the execution leads there.
    assert "ошибка 👜 " * 3_400 in scenario.log.getvalue()
    everything = (
        failed.mail + failed.cause + scenario.log.getvalue() + json.dumps(history(scenario, failed), default=str)
    )
    assert "***" in everything
    assert password not in everything
    scenario.run()


def raise_error(text: str) -> None:
    raise RuntimeError(text)


def load_fails(scenario: Scenario, input: dict[str, Any] | None = None) -> Execution:
    """Runs an execution whose load is killed, and killed again in its retry."""
    with at_statement("pg_advisory_xact_lock", die, times=2):
        return scenario.run(input)


def redriven(scenario: Scenario, function: str, execution: Execution) -> InvokeResult:
    """Returns the answer of a function that gets an execution's event once more."""
    return scenario.switchboard.usual(scenario.stack.names.function(function), {"execution": execution.arn})


def history(scenario: Scenario, execution: Execution) -> list[dict[str, Any]]:
    found = scenario.stack.client("stepfunctions").get_execution_history(executionArn=execution.arn)
    events: list[dict[str, Any]] = found["events"]
    return events


def told_bytes(scenario: Scenario, execution: Execution) -> int:
    """Returns the longest text that passes between the states, or goes into the output or the mail."""
    texts = [json.dumps(event, default=str, ensure_ascii=False) for event in history(scenario, execution)]
    texts += [json.dumps(execution.output), *(mail.message for mail in execution.mails)]
    return max(len(text.encode()) for text in texts)
