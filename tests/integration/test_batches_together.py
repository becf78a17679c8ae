"""Small batches that are pending share a transaction, and leave behind what each would have by itself."""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.integration.test_rules import RIGHT, WRONG
from tests.support.injection import at_statement, statements
from tests.support.pipeline import Pipeline, content
from totes.errors import ContractViolation, CorruptObject, WarehouseUnreachable

# What each batch brings. Rows change, go, and come back as they were.
BATCHES: tuple[tuple[str, ...], ...] = (
    ("UPDATE sales_order SET units_sold = 1 WHERE sales_order_id IN (3, 7, 9)",),
    ("UPDATE sales_order SET units_sold = 2 WHERE sales_order_id = 7",),
    ("UPDATE sales_order SET units_sold = 1 WHERE sales_order_id = 7", "UPDATE staff SET first_name = 'A'"),
    ("CREATE TABLE gone AS SELECT * FROM sales_order WHERE sales_order_id IN (7, 9)",),
    ("DELETE FROM sales_order WHERE sales_order_id IN (7, 9)", "UPDATE staff SET first_name = 'B'"),
    ("INSERT INTO sales_order SELECT * FROM gone", "UPDATE staff SET first_name = 'A' WHERE staff_id = 1"),
    ("UPDATE payment SET paid = NOT paid WHERE payment_id < 5",),
    ("INSERT INTO currency VALUES (77, 'USD', now(), now())",),
    ("CREATE TABLE unused AS SELECT * FROM currency WHERE currency_id = 77",),
    ("DELETE FROM currency WHERE currency_id = 77", "UPDATE design SET file_name = 'x' WHERE design_id = 2"),
    ("INSERT INTO currency SELECT * FROM unused",),
    ("UPDATE currency SET currency_code = 'EUR' WHERE currency_id = 77",),
    ("DELETE FROM sales_order WHERE sales_order_id = 3",),
)
LOGS = {
    "etl.batch_table": "SELECT batch_id, table_name, rows_staged, rows_inserted, rows_updated, rows_deleted",
    "etl.tombstone": "SELECT table_name, business_id, batch_id, record_id, ended_batch_id",
    "etl.batch": "SELECT batch_id, snapshot_at",
}


def land(pipeline: Pipeline, batches: Iterable[Iterable[str]]) -> None:
    for statements_of_batch in batches:
        for statement in statements_of_batch:
            pipeline.totesys(statement)
        pipeline.ingest()
    pipeline.transform()


def everything(pipeline: Pipeline) -> dict[str, list[list[Any]]]:
    """Returns everything in a warehouse, and its log's rows about each batch."""
    logs = {log: pipeline.star(f"{select} FROM {log} ORDER BY 1, 2") for log, select in LOGS.items()}
    ranges = pipeline.star(
        "SELECT batch_id, table_name, last_record_id - first_record_id + 1 = rows_inserted, "
        "rank() OVER (PARTITION BY table_name ORDER BY first_record_id) "
        "FROM etl.batch_table WHERE first_record_id IS NOT NULL ORDER BY 1, 2"
    )
    return content(pipeline) | logs | {"ranges": ranges}


def transactions(pipeline: Pipeline) -> int:
    """Returns how many transactions have loaded the batches after the first one."""
    return int(pipeline.star("SELECT count(DISTINCT xmin::text) FROM etl.batch WHERE batch_id > 1")[0][0])


def test_batches_in_one_transaction_leave_what_each_would_leave(
    seeded: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(seeded, BATCHES)
    loaded = seeded.load()
    together = everything(seeded)
    assert (loaded.batches, transactions(seeded)) == (seeded.landed().last() - 1, 1)
    seeded.drop_warehouse()
    monkeypatch.setattr("totes.warehouse.batch_loader.MOST_TOGETHER", 1)
    assert seeded.load().batches == loaded.batches + 1
    assert transactions(seeded) == loaded.batches
    assert everything(seeded) == together


def test_result_counts_what_each_batch_did(seeded: Pipeline) -> None:
    land(seeded, BATCHES)
    loaded = seeded.load()
    counted = {}
    for name, column in (("inserted", "rows_inserted"), ("updated", "rows_updated"), ("tombstones", "rows_deleted")):
        counted[name] = dict(
            seeded.star(
                f"SELECT table_name, CAST(sum({column}) AS integer) FROM etl.batch_table "
                f"WHERE batch_id > 1 GROUP BY 1 HAVING sum({column}) > 0"
            )
        )
    assert counted == {name: getattr(loaded, name) for name in counted}
    assert counted["tombstones"] == {"fact_sales_order": 3, "dim_currency": 1}


def amend(pipeline: Pipeline, *units: int) -> None:
    land(pipeline, [(f"UPDATE sales_order SET units_sold = {number} WHERE sales_order_id = 7",) for number in units])


def test_batch_that_is_damaged_keeps_none_before_it_waiting(seeded: Pipeline) -> None:
    amend(seeded, 1, 2, 3, 4)
    stored = seeded.processed().read(4).tables["fact_sales_order"]["data"]
    seeded.s3.put_object(Bucket=seeded.processed_bucket, Key=stored.key, Body=b"not what was written")
    with pytest.raises(CorruptObject):
        seeded.load()
    assert seeded.star("SELECT max(batch_id) FROM etl.batch") == [[3]]


def test_batch_without_its_manifest_keeps_none_before_it_waiting(seeded: Pipeline) -> None:
    amend(seeded, 1, 2, 3, 4)
    seeded.s3.put_object(Bucket=seeded.processed_bucket, Key="log/00000004.json", Body=b"{}")
    with pytest.raises(CorruptObject, match="00000004"):
        seeded.load()
    assert seeded.star("SELECT max(batch_id) FROM etl.batch") == [[3]]


def test_batch_that_the_warehouse_refuses_keeps_none_before_it_waiting(seeded: Pipeline) -> None:
    amend(seeded, 1, 2, 3, 4)
    seeded.star("ALTER TABLE fact_sales_order ADD CHECK (units_sold <> 3)")
    with pytest.raises(ContractViolation, match="fact_sales_order_units_sold_check"):
        seeded.load()
    assert seeded.star("SELECT max(batch_id) FROM etl.batch") == [[3]]


def test_uncorrected_mistake_keeps_none_before_it_waiting(seeded: Pipeline) -> None:
    amend(seeded, 1, 2)
    land(seeded, [(WRONG.replace("%s", "7"),)])
    amend(seeded, 3)
    with pytest.raises(ContractViolation, match="`amount`"):
        seeded.load()
    assert seeded.star("SELECT max(batch_id) FROM etl.batch") == [[3]]
    land(seeded, [(RIGHT.replace("%s", "7"),)])
    assert (seeded.load().batches, transactions(seeded)) == (3, 3)


def test_lost_connection_loses_whole_batches(seeded: Pipeline) -> None:
    amend(seeded, 1, 2, 3, 4)
    before = everything(seeded)

    def kill() -> None:
        seeded.postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'totes-load'"
        )

    with at_statement("VALUES (4, ", kill), pytest.raises(WarehouseUnreachable):
        seeded.load()
    assert everything(seeded) == before
    assert (seeded.load().batches, transactions(seeded)) == (4, 1)


def test_many_rows_have_a_transaction_of_their_own(seeded: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    amend(seeded, 1, 2, 3)
    land(seeded, [("UPDATE sales_order SET units_sold = units_sold + 1",)])
    amend(seeded, 4, 5)
    # The calendar comes with the first batch of each transaction.
    ((days,),) = seeded.star("SELECT count(*) FROM dim_date")
    monkeypatch.setattr("totes.warehouse.staging.BULK_ROWS", days + 5)
    assert (seeded.load().batches, transactions(seeded)) == (6, 3)


def test_each_further_batch_is_one_round_trip(seeded: Pipeline) -> None:
    amend(seeded, 1)
    with statements("") as one:
        seeded.load()
    amend(seeded, 2, 3, 4, 5, 6)
    with statements("") as five:
        seeded.load()
    assert len(five) == len(one) + 4
