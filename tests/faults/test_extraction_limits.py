"""F14 to F19: a totesys that is too large, or differs from its declarations."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from pg8000.native import identifier

from local.postgres.databases import READER
from tests.conftest import MakesPipelines
from tests.faults.scenario import HEAL, HOLD, WARN, Scenario, fault, on
from totes.contracts.declarations import source_tables
from totes.lake.batch_log import entry
from totes.runtime.names import STAGES

STAMP = "TIMESTAMP '2024-11-18 09:30:00.123'"
NEW_DESIGN = (
    "INSERT INTO design (design_id, created_at, design_name, file_location, file_name, last_updated) "
    f"VALUES (%s, {STAMP}, 'Granite', '/srv', 'granite.json', {STAMP})"
)
AMENDED = "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = %s"
MANY = 300_000
MOST_MB = 512
COLUMNS = (
    "sales_order_id, design_id, units_sold, unit_price, currency_id, CAST(agreed_delivery_date AS text), "
    "CAST(agreed_payment_date AS text), agreed_delivery_location_id"
)


@on("small_totesys")
@fault(
    "F14",
    "very many rows change at once",
    HEAL,
    nearest=f"{MANY:,} rows in a pipeline without a history checker, compared by one digest on either side",
)
def test_f14_memory_does_not_grow_with_the_rows(
    scenario: Scenario, stacked_pipelines: MakesPipelines, small_totesys: str, tmp_path: Path
) -> None:
    with stacked_pipelines(small_totesys) as pipeline, contextlib.ExitStack() as processes:
        large = replace(scenario, pipeline=pipeline)
        for function in map(str.lower, STAGES):
            processes.enter_context(large.worker_processes(function, tmp_path))
        large.run()
        insert_orders(large, MANY)

        loaded = large.run()

        assert loaded.output["load"]["inserted"]["fact_sales_order"] == MANY
        assert digest(large.star, "current_sales_order") == digest(large.totesys, "sales_order")
        assert large.run().changed_nothing
        assert peaks_mb().keys() == {stage.lower() for stage in STAGES}
        assert max(peaks_mb().values()) < MOST_MB, peaks_mb()
    scenario.run()  # runs the pipeline whose invariants are checked


@fault("F15", "a column is added to totesys", WARN)
def test_f15_undeclared_column_is_told_and_carried_on_without(scenario: Scenario) -> None:
    scenario.totesys("ALTER TABLE sales_order ADD COLUMN colour text DEFAULT 'red', ADD COLUMN weight integer")
    scenario.totesys(AMENDED, 7)
    odd = scenario.run()

    assert odd.warnings == ["sales_order has columns that no contract declares: colour, weight"]
    assert odd.output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F16", "a contracted column is renamed", HOLD)
def test_f16_renamed_column_is_named_before_anything_is_written(scenario: Scenario) -> None:
    scenario.totesys("ALTER TABLE sales_order RENAME units_sold TO units")
    scenario.totesys(NEW_DESIGN, 90_001)

    failed = scenario.run()

    assert (failed.error, failed.path[:2]) == ("ContractViolation", ["Ingest", "IngestFailed"])
    assert failed.changed_nothing
    assert "column sales_order.units_sold is not there" in failed.mail
    scenario.totesys("ALTER TABLE sales_order RENAME units TO units_sold")
    assert scenario.run().output["load"]["inserted"] == {"dim_design": 1}


@fault("F16", "or dropped, and made again", HOLD)
def test_f16_dropped_column_is_named_before_anything_is_written(scenario: Scenario) -> None:
    scenario.totesys("CREATE TABLE kept AS SELECT department_id, location FROM department")
    scenario.totesys("ALTER TABLE department DROP location")

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert failed.changed_nothing
    assert "column department.location is not there" in failed.mail
    scenario.totesys("ALTER TABLE department ADD location text")
    scenario.totesys(
        "UPDATE department SET location = kept.location FROM kept WHERE kept.department_id = department.department_id"
    )
    scenario.run()


RETYPED = {
    "integer to text": ("sales_order", "units_sold", "text", "integer"),
    "integer to bigint": ("payment", "company_ac_number", "bigint", "integer"),
    "fewer digits": ("purchase_order", "item_unit_price", "numeric(12,3)", "numeric(10,2)"),
    "zoned": ("payment", "last_updated", "timestamp(3) with time zone", "timestamp(3) without time zone"),
}


@fault("F17", "a column's type changes", HOLD)
@pytest.mark.parametrize(("table", "column", "found", "expected"), RETYPED.values(), ids=RETYPED)
def test_f17_found_and_expected_type_are_told(
    scenario: Scenario, table: str, column: str, found: str, expected: str
) -> None:
    retype = f"ALTER TABLE {table} ALTER {column} TYPE {{0}} USING CAST({column} AS {{0}})"
    scenario.totesys(retype.format(found))

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert failed.changed_nothing
    assert f"column {table}.{column} has type {found}, expected {expected}" in failed.mail
    scenario.totesys(retype.format(expected))
    scenario.totesys(NEW_DESIGN, 90_001)
    assert scenario.run().output["load"]["inserted"] == {"dim_design": 1}


@fault("F18", "SELECT on a table is revoked", HOLD)
def test_f18_table_and_missing_grant_are_named(scenario: Scenario) -> None:
    scenario.totesys(f"REVOKE SELECT ON payment FROM {READER}")
    scenario.totesys(AMENDED, 7)

    failed = scenario.run()

    assert failed.error == "AccessDenied"
    assert failed.changed_nothing
    assert "may not read payment of totesys. GRANT SELECT ON payment to the user" in failed.mail
    scenario.totesys(f"GRANT SELECT ON payment TO {READER}")
    scenario.run()


@fault("F18", "a table is missing", HOLD)
def test_f18_missing_table_is_named(scenario: Scenario) -> None:
    scenario.totesys("ALTER TABLE payment RENAME TO payments")
    scenario.totesys(AMENDED, 7)

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert failed.changed_nothing
    assert "table payment is not there" in failed.mail
    scenario.totesys("ALTER TABLE payments RENAME TO payment")
    scenario.run()


@pytest.fixture
def restored(scenario: Scenario) -> Iterator[str]:
    """Yields the name of a database that does not exist yet, and drops it after the test."""
    name = f"{scenario.pipeline.source}_restored"
    yield name
    scenario.pipeline.postgres.execute(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)")


@fault("F19", "an older copy of totesys is restored under another name", WARN)
def test_f19_restored_source_is_read_in_full_once(scenario: Scenario, restored: str) -> None:
    dump(scenario, restored)
    scenario.totesys(AMENDED, 7)
    scenario.run()

    restore(scenario, restored)
    back = scenario.run()

    assert back.warnings == [f"{table} was read in full: totesys was restored or moved" for table in source_tables()]
    # The restore has undone everything since the dump, which must show in the history, too.
    assert back.output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F19", "the restored copy lacks rows that were landed", HOLD)
def test_f19_rows_that_a_restored_source_lacks_are_held(scenario: Scenario, restored: str) -> None:
    dump(scenario, restored)
    scenario.totesys(NEW_DESIGN, 90_001)
    scenario.run()

    restore(scenario, restored)
    failed = scenario.run()
    accepted = scenario.run({"accept_deletions": {"design": 1}})

    assert failed.error == "DeletionsHeld"
    assert re.search(r"1 of \d+ rows of design", failed.mail)
    assert "not the database or server of the last batch" in failed.mail
    assert accepted.output["load"]["tombstones"] == {"dim_design": 1}


def dump(scenario: Scenario, name: str) -> None:
    """Copies totesys."""
    scenario.pipeline.postgres.execute(
        f"CREATE DATABASE {identifier(name)} TEMPLATE {identifier(scenario.pipeline.source)}"
    )


def restore(scenario: Scenario, name: str) -> None:
    """Puts the copy in totesys' place."""
    scenario.pipeline.source = name
    scenario.pipeline.put_secret("source", name, READER)


@fault("F19", "totesys' transaction ids go back", WARN, nearest="the ids in the last manifest are moved ahead")
def test_f19_ids_that_go_back_are_noticed_and_change_nothing(scenario: Scenario) -> None:
    move_ahead(scenario)

    back = scenario.run()

    reason = "transaction ids of totesys went backwards"
    assert back.warnings == [f"{table} was read in full: {reason}" for table in source_tables()]
    assert (back.output["load"]["inserted"], back.output["load"]["updated"]) == ({}, {})


def move_ahead(scenario: Scenario) -> None:
    """Makes the last landed batch say that totesys was a million transactions further."""
    log = scenario.pipeline.landed()
    document = log.read(log.last()).as_json()
    ahead = document["source"]["xmax"] + 10**6
    document["source"] |= {"xmin": ahead, "xmax": ahead}
    body = json.dumps(document).encode()
    scenario.pipeline.s3.put_object(Bucket=scenario.pipeline.landing_bucket, Key=entry(log.last()), Body=body)


def insert_orders(scenario: Scenario, number: int) -> None:
    with scenario.session() as connection:
        cursor = connection.cursor()
        # The references are right, and checking them row by row takes longer than everything else.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "INSERT INTO sales_order SELECT 1000000 + number, template.created_at, template.last_updated, design_id, "
            "staff_id, counterparty_id, number, number / 100.0, currency_id, agreed_delivery_date, "
            "agreed_payment_date, agreed_delivery_location_id FROM sales_order AS template, "
            f"generate_series(1, {number}) AS number WHERE sales_order_id = 1 + number % 200"
        )
        connection.commit()


def digest(ask: Callable[[str], list[list[Any]]], orders: str) -> list[list[Any]]:
    """Returns the number of orders, their sum, and one digest of all their values."""
    query = f"SELECT {COLUMNS} FROM {orders}"
    return ask(
        "SELECT count(*), sum(units_sold * unit_price), md5(string_agg(CAST(found AS text), ';' ORDER BY "
        f"sales_order_id)) FROM ({query}) AS found"
    )


def peaks_mb() -> dict[str, float]:
    """Returns the most memory that each function's process has ever held, for worker processes that still exist."""
    found = {}
    for process in psutil.Process().children():
        if "local.lambda_runtime.worker" in process.cmdline():
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            function = process.cmdline()[-1].split(".")[1]
            found[function] = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return found
