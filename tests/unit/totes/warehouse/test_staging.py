from collections.abc import Callable
from dataclasses import replace
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from totes.contracts.declarations import warehouse_tables
from totes.errors import ContractViolation
from totes.lake.parquet import deleted_schema, parquet_writer, processed_schema
from totes.postgres.driver import PipelineConnection
from totes.warehouse import staging
from totes.warehouse.staging import Loaded, Move, Part
from totes.warehouse.star import calendar
from totes.warehouse.warehouse import Warehouse

PAYMENT = warehouse_tables()["fact_payment"]
Stage = Callable[[str, list[dict[str, Any]]], int]
GBP = {"currency_id": 1, "currency_code": "GBP", "currency_name": "Pound Sterling"}


@pytest.fixture
def stage(star: PipelineConnection, tmp_path: Path) -> Stage:
    """Stages rows of a table, as a new transaction's first step."""

    def staged(name: str, rows: list[dict[str, Any]]) -> int:
        star.commit()
        schema = processed_schema(warehouse_tables()[name])
        with parquet_writer(tmp_path / name, schema) as writer:
            writer.write(pa.Table.from_pylist(rows, schema))
        return staged_rows(star, name, tmp_path / name)

    return staged


def staged_rows(star: PipelineConnection, name: str, path: Path) -> int:
    part = Part(name, "data")
    return staging.stage(Warehouse(star), {part: {1: path}})[part][1]


def moved(star: PipelineConnection, name: str, staged: int) -> Loaded:
    """Moves what is staged of batch 1."""
    move = Move(Warehouse(star), 1)
    move.add_rows(warehouse_tables()[name])
    return replace(move.end()[name], staged=staged)


def upserted(star: PipelineConnection, stage: Stage, rows: list[dict[str, Any]]) -> Loaded:
    return moved(star, "dim_currency", stage("dim_currency", rows))


def rows_of(star: PipelineConnection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in star.execute(query)]


def test_upsert_tells_new_changed_and_same_apart(star: PipelineConnection, stage: Stage) -> None:
    usd, eur = (GBP | {"currency_id": number, "currency_code": code} for number, code in ((2, "USD"), (3, "EUR")))
    assert upserted(star, stage, [GBP, usd]) == Loaded(staged=2, inserted=2)
    assert upserted(star, stage, [GBP, usd | {"currency_name": "US Dollar"}, eur]) == Loaded(3, inserted=1, updated=1)
    assert upserted(star, stage, [GBP]) == Loaded(staged=1)
    assert rows_of(star, "SELECT * FROM dim_currency ORDER BY 1") == [
        (1, "GBP", "Pound Sterling"),
        (2, "USD", "US Dollar"),
        (3, "EUR", "Pound Sterling"),
    ]


def test_row_that_is_the_same_is_not_written_again(star: PipelineConnection, stage: Stage) -> None:
    upserted(star, stage, [GBP])
    before = rows_of(star, "SELECT ctid, xmin FROM dim_currency")
    upserted(star, stage, [GBP])
    assert rows_of(star, "SELECT ctid, xmin FROM dim_currency") == before


def test_null_and_empty_text_stay_apart(star: PipelineConnection, stage: Stage) -> None:
    known = dict.fromkeys(("address_line_1", "city", "postal_code", "country", "phone"), "")
    rows = [known | {"location_id": 1, "address_line_2": ""}, known | {"location_id": 2, "district": "None"}]
    moved(star, "dim_location", stage("dim_location", rows))
    assert rows_of(star, "SELECT address_line_2, district, city FROM dim_location ORDER BY location_id") == [
        ("", None, ""),
        (None, "None", ""),
    ]


def test_staged_rows_end_with_the_transaction(star: PipelineConnection, stage: Stage) -> None:
    stage("dim_currency", [GBP])
    star.commit()
    assert rows_of(star, "SELECT to_regclass('pg_temp.staged_dim_currency')") == [(None,)]


PAYMENT_ROW = {
    "payment_id": 7,
    "created_date": date(2024, 1, 1),
    "created_time": "08:00:00.001",
    "last_updated_date": date(2024, 1, 1),
    "last_updated_time": "08:00:00.000",
    "transaction_id": 1,
    "counterparty_id": 1,
    "payment_amount": Decimal("0.10"),
    "currency_id": 1,
    "payment_type_id": 1,
    "paid": False,
    "payment_date": date(2024, 12, 31),
}


@pytest.fixture
def pay(star: PipelineConnection, stage: Stage) -> Callable[..., Loaded]:
    """Loads versions of payments into a warehouse that has the dimensions they refer to."""
    star.execute("INSERT INTO dim_currency VALUES (1, 'GBP', 'Pound Sterling')")
    star.execute("INSERT INTO dim_payment_type VALUES (1, 'SALES_RECEIPT')")
    star.execute("INSERT INTO dim_transaction VALUES (1, 'SALE', NULL, NULL)")
    star.execute("INSERT INTO dim_counterparty VALUES (1, '', '', NULL, NULL, '', '', '', '')")
    star.execute("INSERT INTO etl.batch VALUES (1, now(), now(), ''), (2, now(), now(), '')")
    days = stage("dim_date", calendar(warehouse_tables()["dim_date"], [2024]).to_pylist())
    moved(star, "dim_date", days)

    def loaded(*changes: dict[str, Any]) -> Loaded:
        return moved(star, "fact_payment", stage("fact_payment", [PAYMENT_ROW | change for change in changes]))

    return loaded


def test_batch_with_parquets_own_time_is_loaded_as_the_same(
    star: PipelineConnection, pay: Callable[..., Loaded], tmp_path: Path
) -> None:
    """Batches had this form before a time of day was a text."""
    assert pay({}).inserted == 1
    star.commit()
    kinds = {"created_time": pa.time32("ms"), "last_updated_time": pa.time32("ms")}
    schema = pa.schema([field.with_type(kinds.get(field.name, field.type)) for field in processed_schema(PAYMENT)])
    times = {"created_time": time(8, 0, 0, 1_000), "last_updated_time": time(8, 0)}
    with parquet_writer(tmp_path / "older", schema) as writer:
        writer.write(pa.Table.from_pylist([PAYMENT_ROW | times, PAYMENT_ROW | times | {"payment_id": 8}], schema))
    staged = staged_rows(star, "fact_payment", tmp_path / "older")
    assert moved(star, "fact_payment", staged) == Loaded(staged=2, inserted=1, first=2, last=2)
    assert rows_of(star, "SELECT DISTINCT created_time, last_updated_time FROM fact_payment") == [tuple(times.values())]


def test_version_is_added_only_where_it_differs(star: PipelineConnection, pay: Callable[..., Loaded]) -> None:
    assert pay({}, {"payment_id": 8}) == Loaded(staged=2, inserted=2, first=1, last=2)
    assert pay({}, {"payment_id": 8}) == Loaded(staged=2)
    assert pay({"paid": True}, {"payment_id": 8}) == Loaded(staged=2, inserted=1, first=3, last=3)
    # The value goes back to what it was, which is a change like any other.
    assert pay({}) == Loaded(staged=1, inserted=1, first=4, last=4)
    assert rows_of(star, "SELECT payment_record_id, payment_id, paid FROM fact_payment ORDER BY 1") == [
        (1, 7, False),
        (2, 8, False),
        (3, 7, True),
        (4, 7, False),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"payment_amount": Decimal("0.11")},
        {"created_time": "08:00:00.002"},
        {"payment_date": date(2024, 12, 30)},
        {"last_updated_time": "08:00:01.000"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_change_of_any_column_is_a_version(pay: Callable[..., Loaded], change: dict[str, Any]) -> None:
    pay({})
    assert pay(change).inserted == 1


def test_record_ids_follow_the_order_of_the_file(star: PipelineConnection, pay: Callable[..., Loaded]) -> None:
    pay({"payment_id": 9}, {"payment_id": 7}, {"payment_id": 8})
    assert rows_of(star, "SELECT payment_id FROM fact_payment ORDER BY payment_record_id") == [(9,), (7,), (8,)]


def test_reference_to_nothing_is_named(pay: Callable[..., Loaded]) -> None:
    with pytest.raises(ContractViolation) as caught:
        pay({"transaction_id": 99}, {"payment_id": 8, "transaction_id": 98}, {"payment_id": 9})
    assert str(caught.value).startswith(
        "fact_payment breaks the rule `transaction_id` (What transaction_id refers to is in dim_transaction, which "
        "lacks 98, 99): 7, 8. totesys is not at fault: somebody has changed the lake or the warehouse."
    )


def test_two_rows_of_one_key_are_named(pay: Callable[..., Loaded]) -> None:
    with pytest.raises(
        ContractViolation, match=r"fact_payment breaks the rule `payment_id` \(Each row has one .*\): 7\."
    ):
        pay({}, {"paid": True}, {"payment_id": 8})


def test_value_that_is_not_accepted_is_named(stage: Stage) -> None:
    gift = {"transaction_id": 5, "transaction_type": "GIFT", "sales_order_id": None, "purchase_order_id": None}
    with pytest.raises(
        ContractViolation, match=r"dim_transaction breaks the rule `transaction_type` .*PURCHASE\): 5\."
    ):
        stage("dim_transaction", [gift, gift | {"transaction_id": 6, "transaction_type": "SALE"}])


def add_tombstones(star: PipelineConnection, table: str, batch: int, ids: list[int], folder: Path) -> int:
    star.commit()
    declared = warehouse_tables()[table]
    schema = deleted_schema(declared)
    with parquet_writer(folder / "deleted", schema) as writer:
        writer.write(pa.table([ids], schema=schema))
    part, move = Part(table, "deleted"), Move(Warehouse(star), batch)
    staged = staging.stage(Warehouse(star), {part: {batch: folder / "deleted"}})
    move.add_tombstones(declared)
    move.end()
    return staged[part][batch]


def test_tombstone_ends_the_latest_version(
    star: PipelineConnection, pay: Callable[..., Loaded], tmp_path: Path
) -> None:
    pay({}, {"payment_id": 8})
    pay({"paid": True})
    assert add_tombstones(star, "fact_payment", 2, [7], tmp_path) == 1
    assert rows_of(star, "SELECT * FROM etl.tombstone") == [("fact_payment", 7, 2, 3, None)]
    assert rows_of(star, "SELECT payment_id FROM current_payment") == [(8,)]


def test_version_after_a_tombstone_is_added_though_it_is_the_same(
    star: PipelineConnection, pay: Callable[..., Loaded], tmp_path: Path
) -> None:
    pay({})
    add_tombstones(star, "fact_payment", 1, [7], tmp_path)
    assert pay({}).inserted == 1
    assert rows_of(star, "SELECT payment_record_id FROM current_payment") == [(2,)]


def test_deleted_dimension_stays_and_is_noted(
    star: PipelineConnection, pay: Callable[..., Loaded], tmp_path: Path
) -> None:
    assert add_tombstones(star, "dim_currency", 2, [1], tmp_path) == 1
    assert rows_of(star, "SELECT * FROM etl.tombstone") == [("dim_currency", 1, 2, None, None)]
    assert rows_of(star, "SELECT currency_code FROM dim_currency") == [("GBP",)]
