"""Helpers for replays: a history to replay, damages to find and heal, and a warehouse's whole content."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.support.injection import Killed, at_statement, die
from tests.support.pipeline import Pipeline
from totes.contracts import declarations
from totes.errors import ContractViolation
from totes.lake.bucket import Lake
from totes.verify.replay.replay import Comparison, Replay, replaying

ORDER = 30
POISONED = 41
LAST = 6
Everything = dict[str, list[list[Any]]]

DAMAGES = {
    "deleted version": (
        "DELETE FROM fact_sales_order WHERE sales_order_id = 12 AND sales_record_id IN "
        "(SELECT min(sales_record_id) FROM fact_sales_order GROUP BY sales_order_id)",
        {"fact_sales_order": (1, 0, 0)},
    ),
    "changed cell": (
        "UPDATE fact_purchase_order SET item_code = 'x' WHERE purchase_record_id IN (3, 4)",
        {"fact_purchase_order": (0, 0, 2)},
    ),
    "extra version": (
        "INSERT INTO fact_payment SELECT 1000000, payment_id, created_date, created_time, last_updated_date, "
        "last_updated_time, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, NOT paid, "
        "payment_date FROM fact_payment WHERE payment_record_id = 1",
        {"fact_payment": (0, 1, 0)},
    ),
    "missing tombstone": (
        "DELETE FROM etl.tombstone WHERE table_name = 'fact_sales_order'",
        {"etl.tombstone": (1, 0, 0)},
    ),
    "missing row of a dimension": ("DELETE FROM dim_design WHERE design_id = 9001", {"dim_design": (1, 0, 0)}),
    "changed row of a dimension": (
        "UPDATE dim_counterparty SET counterparty_legal_district = NULL "
        "WHERE counterparty_id = (SELECT min(counterparty_id) FROM dim_counterparty "
        "WHERE counterparty_legal_district IS NOT NULL)",
        {"dim_counterparty": (0, 0, 1)},
    ),
    "day too many": (
        "INSERT INTO dim_date SELECT DATE '1999-01-01', year, month, day, day_of_week, day_name, month_name, quarter "
        "FROM dim_date LIMIT 1",
        {"dim_date": (0, 1, 0)},
    ),
    "rows too many and what they refer to": (
        "INSERT INTO dim_currency VALUES (9, 'CHF', 'Swiss Franc'); "
        "INSERT INTO fact_purchase_order SELECT 1000000, purchase_order_id, created_date, created_time, "
        "last_updated_date, last_updated_time, staff_id, counterparty_id, item_code, item_quantity, item_unit_price, "
        "9, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id FROM fact_purchase_order LIMIT 1; "
        "INSERT INTO etl.batch VALUES (0, now(), now(), ''); "
        "INSERT INTO etl.batch_table VALUES (0, 'dim_currency', 1, 1, 0, 0)",
        {
            "dim_currency": (0, 1, 0),
            "fact_purchase_order": (0, 1, 0),
            "etl.batch": (0, 1, 0),
            "etl.batch_table": (0, 1, 0),
        },
    ),
    "quarantine that was never released": (
        "UPDATE etl.quarantine SET released_batch_id = NULL",
        {"etl.quarantine": (0, 0, 1)},
    ),
    "batch of another moment": (
        "UPDATE etl.batch SET snapshot_at = snapshot_at - interval '1 s' WHERE batch_id = 6",
        {"etl.batch": (0, 0, 1)},
    ),
    "range of record ids": (
        "UPDATE etl.batch_table SET first_record_id = 1 WHERE batch_id = 2 AND table_name = 'fact_sales_order'",
        {"etl.batch_table": (0, 0, 1)},
    ),
    "everything but the log": (
        "TRUNCATE fact_sales_order, fact_purchase_order, fact_payment RESTART IDENTITY; DELETE FROM dim_transaction",
        None,
    ),
    "last batches of the log": (
        "DELETE FROM etl.tombstone WHERE batch_id > 2; DELETE FROM etl.quarantine; "
        "DELETE FROM etl.batch_table WHERE batch_id > 2; DELETE FROM etl.batch WHERE batch_id > 2",
        None,
    ),
    "all rows": (
        "TRUNCATE etl.batch, etl.batch_table, etl.tombstone, etl.quarantine, fact_sales_order, fact_purchase_order, "
        "fact_payment, dim_transaction, dim_date, dim_staff, dim_location, dim_currency, dim_design, dim_counterparty, "
        "dim_payment_type",
        None,
    ),
}


def damage(pipeline: Pipeline, name: str) -> None:
    with pipeline.connection(pipeline.warehouse) as connection:
        for statement in DAMAGES[name][0].split("; "):
            connection.cursor().execute(statement)
        connection.commit()


def replayed(
    pipeline: Pipeline, whole: bool = False, seen: Callable[[str], object] = lambda _: None
) -> AbstractContextManager[Replay]:
    return replaying(
        pipeline.credentials(pipeline.warehouse), Lake(pipeline.processed_bucket), "replay-test", whole, seen
    )


def verify(pipeline: Pipeline) -> Comparison:
    with replayed(pipeline) as replay:
        return replay.compare()


def swap(pipeline: Pipeline) -> Comparison:
    """Swaps, and returns the differences from before."""
    with replayed(pipeline, whole=True) as replay:
        found = replay.compare()
        replay.swap(found)
    return found


def apart(found: Comparison) -> dict[str, tuple[int, int, int]]:
    """Returns the numbers of missing, extra and differing rows, for tables that have any."""
    return {
        table.table: (table.missing.rows, table.extra.rows, table.differing.rows)
        for table in found.tables
        if not table.agrees
    }


def everything(pipeline: Pipeline) -> Everything:
    """Returns every value of every table and sequence, times of loading too."""
    tables = pipeline.star(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables "
        "WHERE table_schema IN ('public', 'etl') AND table_type = 'BASE TABLE'"
    )
    sequences = pipeline.star(
        "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"
    )
    rows = {name: pipeline.star(f"SELECT t.* FROM {name} AS t ORDER BY t") for (name,) in tables}
    return {**rows, "sequences": sequences}


def schemas(pipeline: Pipeline) -> set[str]:
    return {name for (name,) in pipeline.star("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'replay%'")}


def declare_quarantine(patch: pytest.MonkeyPatch) -> None:
    declared = declarations.source_tables()
    declared = {**declared, "sales_order": replace(declared["sales_order"], quarantine=True)}
    for module in ("source.changes", "source.snapshot"):
        patch.setattr(f"totes.{module}.source_tables", lambda: declared)


def make_history(pipeline: Pipeline) -> None:
    change = pipeline.totesys
    pipeline.run()
    change("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id < 20")
    change("UPDATE department SET department_name = 'Renamed' WHERE department_id = 2")
    change("INSERT INTO design VALUES (9001, now(), 'Bronze', '/usr', 'bronze.json', now())")
    # A load that dies uses up record ids.
    with at_statement('INSERT INTO "etl".batch_table', die), suppress(Killed):
        pipeline.run()
    pipeline.run()
    change("UPDATE payment SET payment_amount = payment_amount + 1 WHERE payment_id = 7")
    with suppress(ContractViolation):
        pipeline.run()
    change("UPDATE payment SET payment_amount = payment_amount - 1 WHERE payment_id = 7")
    change(f"DELETE FROM sales_order WHERE sales_order_id = {ORDER}")
    change("DELETE FROM design WHERE design_id = 9001")
    pipeline.run()
    change(f"UPDATE sales_order SET agreed_payment_date = 'soon' WHERE sales_order_id IN ({POISONED}, {POISONED + 1})")
    pipeline.run()
    change(f"UPDATE sales_order SET agreed_payment_date = '2024-12-01' WHERE sales_order_id = {POISONED}")
    pipeline.run()
