"""Backfills: the shipped workflow reads totesys in ranges, while the back office continues to work."""

import json
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from local.lambda_runtime.runtime import InvokeResult
from local.postgres.databases import READER
from tests.conftest import Declares
from tests.faults.scenario import PATIENCE, Scenario
from tests.support.injection import Countdown, die
from tests.support.reconciliation import reconcile
from totes.alerts.executions import readable
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake
from totes.lake.manifest import Manifest

Step = dict[str, Any]

NEW_STAFF = (
    "INSERT INTO staff SELECT 990, 'Ada', 'L', 1, 'a@x.io', created_at, last_updated FROM staff WHERE staff_id = 1"
)
NEW_ORDER = """
INSERT INTO sales_order
SELECT {0}, created_at, last_updated, design_id, {1}, counterparty_id, units_sold, unit_price, currency_id,
    agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id
FROM sales_order ORDER BY sales_order_id LIMIT 1
"""
AMENDED = "sales_order_id IN (2, 150, 200)"
# An order's price and its payment, in one transaction.
REPRICED = """
WITH repriced AS (UPDATE sales_order SET unit_price = unit_price + 1 WHERE sales_order_id = 100 RETURNING *)
UPDATE payment SET payment_amount = repriced.units_sold * repriced.unit_price
FROM repriced JOIN transaction USING (sales_order_id) WHERE payment.transaction_id = transaction.transaction_id
"""


class Backfills:
    """Runs backfills of a scenario's totesys. A fact's 93 to 320 rows are one range, unless a test says otherwise."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def run(self, name: str | None = None, **given: Any) -> Step:
        """Runs one backfill, from its start to its end; returns the answer of DescribeExecution."""
        stack = self._scenario.stack
        started = stack.client("stepfunctions").start_execution(
            stateMachineArn=stack.names.backfill_arn,
            name=name or str(uuid.uuid4()),
            input=json.dumps({"rows": 400, "concurrency": 1} | given),
        )
        return stack.wait(started["executionArn"], 4 * PATIENCE)

    def before(self, is_it: Callable[[Step], bool], action: Callable[[], object]) -> AbstractContextManager[None]:
        """Does something once, just before the first step that reads or lands and meets a condition."""
        done = Countdown(1, action)

        def invoke(name: str, event: Step) -> InvokeResult:
            if is_it(event.get("backfill", {})):
                done()
            return self._scenario.switchboard.usual(name, event)

        return self._scenario.instead("backfill", invoke)


@pytest.fixture
def start(small_totesys: str) -> str:
    """Yields backfills of an empty lake."""
    return small_totesys


@pytest.fixture
def backfills(scenario: Scenario) -> Backfills:
    return Backfills(scenario)


def reads(table: str) -> Callable[[Step], bool]:
    return lambda step: step.get("read", {}).get("table") == table


def lands(step: Step) -> bool:
    return "land" in step


def full_reads(scenario: Scenario) -> list[str]:
    """Returns the tables that batches have brought by backfill, once for each batch."""
    log = scenario.pipeline.landed()
    return [table for batch in range(1, log.last() + 1) for table in log.read(batch).full_read]


def succeeded(execution: Step) -> bool:
    assert execution["status"] == "SUCCEEDED", readable(execution.get("cause"))
    return True


def trade(scenario: Scenario, number: int) -> None:
    """Makes the changes of a busy minute: new rows that refer to new rows, amendments, deletions."""
    scenario.totesys(NEW_STAFF.replace("990", str(990 + number)))
    scenario.totesys(NEW_ORDER.format(80_000 + number, 990 + number))
    scenario.totesys(
        f"UPDATE sales_order SET agreed_delivery_location_id = 1, staff_id = {990 + number} WHERE {AMENDED}"
    )
    scenario.totesys(REPRICED)
    scenario.totesys("UPDATE staff SET first_name = 'New' WHERE staff_id = 2")
    scenario.totesys("DELETE FROM payment WHERE payment_id = (SELECT min(payment_id) FROM payment)")


def test_a_first_backfill_brings_everything_and_leaves_nothing_to_the_next_execution(
    backfills: Backfills, scenario: Scenario
) -> None:
    assert succeeded(backfills.run(rows=200))
    brought = full_reads(scenario)
    assert brought.count("sales_order") > 1
    assert brought.count("transaction") > 1
    assert brought.count("address") == 1
    assert reconcile(scenario.pipeline).agrees
    assert scenario.run().path[-1] == "NothingNew"


def test_its_last_batch_does_not_count_as_flushed(backfills: Backfills, scenario: Scenario) -> None:
    """Ranges are read later than the plan, so a crash may undo rows that they saw."""
    assert succeeded(backfills.run(rows=200))
    log = scenario.pipeline.landed()
    assert not log.read(log.last()).source.flushed


@pytest.mark.parametrize("moment", [reads("transaction"), reads("payment"), lands])
def test_what_changes_while_it_runs_comes_with_the_next_execution(
    backfills: Backfills, scenario: Scenario, moment: Callable[[Step], bool]
) -> None:
    with backfills.before(moment, lambda: trade(scenario, 1)):
        assert succeeded(backfills.run(rows=200))
    assert scenario.run().succeeded
    assert reconcile(scenario.pipeline).agrees
    assert scenario.star("SELECT units_sold FROM current_sales_order WHERE sales_order_id = 80001")


def test_over_a_warehouse_that_is_there_it_adds_no_version_twice_and_deletions_are_found(
    backfills: Backfills, scenario: Scenario
) -> None:
    scenario.run()
    before = scenario.star("SELECT count(*) FROM fact_sales_order")
    trade(scenario, 1)
    assert succeeded(backfills.run())
    landed = scenario.pipeline.landed()
    known = landed.read(landed.last()).tables["sales_order"]["keys"].rows
    assert [[known]] == scenario.totesys("SELECT count(*) FROM sales_order")
    assert scenario.run().succeeded
    assert reconcile(scenario.pipeline).agrees
    # Three orders were amended, one was repriced, and one is new.
    assert scenario.star("SELECT count(*) FROM fact_sales_order") == [[before[0][0] + 5]]
    assert scenario.star("SELECT count(*) FROM etl.tombstone WHERE table_name = 'fact_payment'") == [[1]]


def test_rules_between_facts_are_held_with_the_batch_behind_it(backfills: Backfills, scenario: Scenario) -> None:
    scenario.totesys("UPDATE payment SET payment_amount = payment_amount + 1 WHERE payment_id = 3")
    # The payments are in four batches, and this one is in the first.
    assert succeeded(backfills.run(rows=100))
    scenario.totesys("UPDATE staff SET first_name = 'New' WHERE staff_id = 2")
    failed = scenario.run()
    assert failed.error == "ContractViolation"
    assert "fact_payment breaks the rule `amount`" in failed.cause
    scenario.totesys("UPDATE payment SET payment_amount = payment_amount - 1 WHERE payment_id = 3")
    assert scenario.run().succeeded
    assert reconcile(scenario.pipeline).agrees


def test_where_landing_breaks_off_the_retry_goes_on(backfills: Backfills, scenario: Scenario) -> None:
    dying, commit = Countdown(4, die), BatchLog.commit

    def committing(log: BatchLog, manifest: Manifest, **given: bool) -> None:
        dying()
        commit(log, manifest, **given)

    with mock.patch.object(BatchLog, "commit", committing):
        assert succeeded(backfills.run(rows=200))
    assert dying.left < 0
    assert reconcile(scenario.pipeline).agrees


def test_a_batch_of_somebody_else_in_the_midst_ends_it_and_loses_nothing(
    backfills: Backfills, scenario: Scenario
) -> None:
    with backfills.before(lands, scenario.run):
        failed = backfills.run()
    assert failed["status"] == "FAILED"
    assert failed["error"] == "BackfillOutdated"
    assert "another execution has landed batch 1" in failed["cause"]
    assert scenario.run().path[-1] == "NothingNew"
    assert reconcile(scenario.pipeline).agrees


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded before", "nothing before"])
def test_where_half_of_it_is_landed_the_pipeline_reads_the_other_half(
    backfills: Backfills, scenario: Scenario, loaded: bool
) -> None:
    if loaded:
        scenario.run()
        trade(scenario, 1)
    landed, interrupting = scenario.pipeline.landed().last(), Countdown(3, scenario.run)

    class Interrupted(BatchLog):
        """Makes another execution land a batch when two are landed."""

        def commit(self, manifest: Manifest, *, hint: bool = True) -> None:
            interrupting()
            super().commit(manifest, hint=hint)

    with mock.patch("totes.backfill.BatchLog", Interrupted):
        failed = backfills.run(rows=200)
    assert scenario.pipeline.landed().last() == landed + 3
    assert failed["error"] == "BackfillOutdated"
    assert scenario.run().succeeded
    assert reconcile(scenario.pipeline).agrees


def test_a_range_that_is_read_again_is_landed_once(backfills: Backfills, scenario: Scenario) -> None:
    dying = Countdown(3, die)
    add_json = Lake.add_json

    def adding(lake: Lake, key: str, document: object) -> bool:
        if "/batch=" in key:
            dying()
        return add_json(lake, key, document)

    with mock.patch.object(Lake, "add_json", adding):
        assert succeeded(backfills.run(rows=200))
    assert dying.left < 0
    assert reconcile(scenario.pipeline).agrees


def test_totesys_restored_in_the_midst_ends_it(backfills: Backfills, scenario: Scenario, empty_totesys: str) -> None:
    pipeline = scenario.pipeline
    other = f"{pipeline.source}_restored"

    def restore() -> None:
        pipeline.postgres.execute(f'CREATE DATABASE "{other}" TEMPLATE "{pipeline.source}"')
        pipeline.put_secret("source", other, READER)

    with backfills.before(reads("payment"), restore):
        failed = backfills.run()
    assert failed["error"] == "States.ExceedToleratedFailureThreshold"
    assert "totesys was restored or moved" in str(scenario.in_process.raised[failed["executionArn"]])


def test_poison_rows_are_named_and_hold_it(backfills: Backfills, scenario: Scenario, quarantined: Declares) -> None:
    quarantined("sales_order")
    scenario.totesys("UPDATE sales_order SET agreed_delivery_date = 'soon' WHERE sales_order_id = 7")
    failed = backfills.run()
    assert failed["error"] == "States.ExceedToleratedFailureThreshold"
    assert "where sales_order_id is 7: " in str(scenario.in_process.raised[failed["executionArn"]])


def test_a_wrong_input_is_refused_with_what_is_allowed(backfills: Backfills) -> None:
    failed = backfills.run(rows=0)
    assert failed["error"] == "InputRefused"
    assert "about how many rows" in failed["cause"]


def test_functions_read_beside_each_other(backfills: Backfills, scenario: Scenario, tmp_path: Path) -> None:
    at_work: list[int] = [0]

    with scenario.worker_processes("backfill", tmp_path), scenario.worker_processes("transform", tmp_path):

        def counted(name: str, event: Step) -> InvokeResult:
            at_work.append(at_work[-1] + 1)
            try:
                return processes(name, event)
            finally:
                at_work.append(at_work[-1] - 1)

        processes = scenario.switchboard.answering(scenario.stack.names.function("backfill"))
        with scenario.instead("backfill", counted):
            assert succeeded(backfills.run(rows=200, concurrency=2))
    assert max(at_work) == 2
    assert reconcile(scenario.pipeline).agrees


def test_row_in_quarantine_is_released_when_a_backfill_has_read_it(
    backfills: Backfills, scenario: Scenario, quarantined: Declares
) -> None:
    scenario.run()
    quarantined("sales_order")
    scenario.totesys("UPDATE sales_order SET agreed_payment_date = 'soon' WHERE sales_order_id = 7")
    assert scenario.run().warnings
    scenario.totesys("UPDATE sales_order SET agreed_payment_date = '2024-12-01' WHERE sales_order_id = 7")
    assert succeeded(backfills.run())
    assert scenario.run().warnings == []
    assert scenario.star("SELECT count(*) FROM etl.quarantine WHERE released_batch_id IS NULL") == [[0]]
