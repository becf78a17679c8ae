"""Totesys and the warehouse after real runs: they agree, and every kind of damage is found and named."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.commands.reconcile import compare, find_tables
from cli.deployment import WarehouseEmpty, warehouse
from cli.render.reconcile import show_reconciliation
from local.postgres.databases import LOADER, READER
from tests.conftest import Declares, MakesPipelines
from tests.support.loaded import on
from tests.support.pipeline import Pipeline, import_extract, needs_real_data, physical_rows
from tests.support.reconciliation import names, reconcile
from tests.support.replays import everything, swap, verify
from totes.contracts.declarations import source_tables
from totes.errors import AccessDenied, LogBroken, SourceBusy, WarehouseBusy
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake
from totes.postgres.connection import connected
from totes.postgres.driver import PipelineConnection
from totes.runtime.secrets import read_credentials
from totes.source import fence
from totes.verify.reconcile.loaded_batch import LoadedBatch
from totes.verify.reconcile.reconcile import comparable
from totes.verify.reconcile.result import Cell, Keys, Reconciliation, TableDifferences
from totes.verify.reconcile.snapshots import Snapshots, snapshots
from totes.verify.reconcile.sql import columns_of, warehouse_side
from totes.warehouse.warehouse import Warehouse

NEW_ORDER = (
    "INSERT INTO sales_order SELECT 80001, created_at, last_updated, design_id, staff_id, counterparty_id, units_sold, "
    "unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id "
    "FROM sales_order WHERE sales_order_id = 56"
)


def wrong(found: Reconciliation) -> dict[str, TableDifferences]:
    return {table.table: table for table in found.tables if not table.agrees}


def on_their_way(found: Reconciliation) -> dict[str, list[int]]:
    return {table.table: table.on_their_way.first for table in found.tables if table.on_their_way.rows}


@pytest.fixture
def loaded(seeded: Pipeline) -> Pipeline:
    """Yields a pipeline that has run once."""
    return seeded


def test_warehouse_agrees_after_each_run(loaded: Pipeline) -> None:
    assert reconcile(loaded).agrees
    loaded.totesys("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id < 20")
    loaded.totesys("UPDATE department SET location = NULL WHERE department_id = 3")
    loaded.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")
    loaded.run()
    found = reconcile(loaded)
    assert found.agrees
    assert (found.batch, found.no_fence, on_their_way(found)) == (2, None, {})
    assert found.totesys_at > found.batch_at
    assert [table.table for table in found.tables] == list(comparable())
    for table in found.tables:
        ((rows,),) = loaded.totesys(f"SELECT count(*) FROM {table.source}")
        assert (table.in_totesys, table.in_warehouse) == (rows, rows)


def test_sums_of_every_measure_are_exact(loaded: Pipeline) -> None:
    sums = {table.table: table.sums for table in reconcile(loaded).tables if table.sums}
    assert {table: list(columns) for table, columns in sums.items()} == {
        "fact_purchase_order": ["item_quantity", "item_unit_price"],
        "fact_sales_order": ["units_sold", "unit_price"],
        "fact_payment": ["payment_amount"],
    }
    for table, columns in sums.items():
        for column, both in columns.items():
            ((expected,),) = loaded.totesys(f"SELECT sum({column}) FROM {table.removeprefix('fact_')}")
            assert (both.totesys, both.warehouse) == (expected, expected)


# One value of each kind of column: table, row, column, and the new value.
ALTERED = [
    ("fact_sales_order", 71, "units_sold", "units_sold + 1"),
    ("fact_sales_order", 72, "unit_price", "unit_price + 0.01"),
    ("fact_sales_order", 73, "created_time", "created_time + interval '1 millisecond'"),
    ("fact_sales_order", 74, "agreed_delivery_date", "agreed_delivery_date + 1"),
    ("fact_purchase_order", 7, "item_unit_price", "item_unit_price + 0.001"),
    ("fact_purchase_order", 8, "item_code", "item_code || ' '"),
    ("fact_payment", 7, "paid", "NOT paid"),
    ("fact_payment", 8, "last_updated_date", "last_updated_date - 1"),
    ("dim_transaction", 7, "transaction_type", "lower(transaction_type)"),
    ("dim_transaction", 8, "sales_order_id", "coalesce(sales_order_id, 0) + 1"),
    ("dim_staff", 7, "department_name", "upper(department_name)"),
    ("dim_staff", 8, "location", "location || '!'"),
    ("dim_counterparty", 7, "counterparty_legal_city", "reverse(counterparty_legal_city)"),
    ("dim_currency", 1, "currency_name", "'Pound'"),
    ("dim_location", 7, "postal_code", "ltrim(postal_code, '0') || 'x'"),
    ("dim_design", 7, "file_name", "file_name || 'x'"),
    ("dim_payment_type", 4, "payment_type_name", "'REFUND'"),
]


def test_altered_values_are_named(loaded: Pipeline) -> None:
    expected: dict[str, set[Cell]] = {}
    for table, key, column, value in ALTERED:
        where = f"{table} WHERE {comparable()[table].identity} = {key}"
        text = f"SELECT CAST({column} AS text) FROM {where}"
        ((before,),) = loaded.star(text)
        loaded.star(f"UPDATE {where.replace('WHERE', f'SET {column} = {value} WHERE')}")
        ((after,),) = loaded.star(text)
        expected.setdefault(table, set()).add(Cell(key, column, before, after))
    found = reconcile(loaded)
    assert {name: set(table.cells) for name, table in wrong(found).items()} == expected
    for table in wrong(found).values():
        cells = sorted(expected[table.table], key=lambda cell: cell.key)
        assert table.differing == Keys(len(cells), [cell.key for cell in cells])
        assert (table.missing.rows, table.extra.rows) == (0, 0)
        assert table.columns == {cell.column: 1 for cell in cells}


def test_missing_and_extra_rows_are_named(loaded: Pipeline) -> None:
    loaded.star("DELETE FROM fact_sales_order WHERE sales_order_id IN (77, 78)")
    loaded.star("DELETE FROM dim_payment_type WHERE payment_type_name = 'SALES_REFUND'")
    columns = "created_date, created_time, last_updated_date, last_updated_time, transaction_id, counterparty_id, "
    columns += "payment_amount, currency_id, payment_type_id, paid, payment_date"
    loaded.star(f"INSERT INTO fact_payment (payment_id, {columns}) SELECT -7, {columns} FROM fact_payment LIMIT 1")
    loaded.star("INSERT INTO dim_design VALUES (2147483647, 'Granite', '/srv', 'granite.json')")
    found = wrong(reconcile(loaded))
    assert {name: (table.missing, table.extra, table.differing.rows) for name, table in found.items()} == {
        "fact_sales_order": (Keys(2, [77, 78]), Keys(), 0),
        "dim_payment_type": (Keys(1, [2]), Keys(), 0),
        "fact_payment": (Keys(), Keys(1, [-7]), 0),
        "dim_design": (Keys(), Keys(1, [2147483647]), 0),
    }
    sums = found["fact_sales_order"].sums["units_sold"]
    assert (
        sums.totesys - sums.warehouse
        == loaded.totesys("SELECT sum(units_sold) FROM sales_order WHERE sales_order_id IN (77, 78)")[0][0]
    )


PAYMENT = (
    "created_date, created_time, last_updated_date, last_updated_time, transaction_id, counterparty_id, "
    "payment_amount, currency_id, payment_type_id, paid, payment_date"
)
# Damages by hand: the statement, and the table in which reconcile finds it.
TAMPERED = {
    "changed fact": ("UPDATE fact_payment SET paid = NOT paid WHERE payment_id = 9", "fact_payment"),
    "deleted fact": ("DELETE FROM fact_sales_order WHERE sales_order_id = 77", "fact_sales_order"),
    "invented fact": (
        f"INSERT INTO fact_payment (payment_record_id, payment_id, {PAYMENT}) SELECT 1000000, -7, {PAYMENT} "
        "FROM fact_payment LIMIT 1",
        "fact_payment",
    ),
    "lost version": (
        "DELETE FROM fact_sales_order WHERE sales_record_id = (SELECT max(sales_record_id) FROM fact_sales_order "
        "WHERE sales_order_id = 78)",
        "fact_sales_order",
    ),
    "changed dimension": ("UPDATE dim_staff SET location = 'Leds'", "dim_staff"),
    "deleted dimension": ("DELETE FROM dim_payment_type WHERE payment_type_id = 2", "dim_payment_type"),
    "invented dimension": ("INSERT INTO dim_design VALUES (2147483647, 'Granite', '/srv', 'x.json')", "dim_design"),
    "lost tombstone": ("DELETE FROM etl.tombstone WHERE table_name = 'fact_sales_order'", "fact_sales_order"),
    "invented tombstone": (
        "INSERT INTO etl.tombstone SELECT 'fact_payment', payment_id, 1, payment_record_id FROM fact_payment "
        "WHERE payment_id = 9",
        "fact_payment",
    ),
}


def advice(found: Reconciliation) -> str:
    out = io.StringIO()
    show_reconciliation(Console(file=out, width=200), found)
    return out.getvalue()


@pytest.mark.parametrize("name", TAMPERED)
def test_replay_corrects_a_changed_warehouse(small: Pipeline, name: str) -> None:
    small.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")
    small.totesys("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id = 78")
    small.run()
    before = everything(small)
    statement, table = TAMPERED[name]
    small.star(statement)

    found = reconcile(small)
    assert wrong(found).keys() == {table}
    assert "1. Compare the warehouse with the lake: totes replay. If they differ, somebody changed" in advice(found)
    assert not verify(small).agrees
    swap(small)
    assert reconcile(small).agrees
    assert everything(small) == before


def test_full_read_corrects_changes_the_lake_lacks(small: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ingest has not seen these changes, although it has landed a batch since."""
    seen = fence.is_new

    def overlooked(at: int, row: str) -> str:
        keys = {'"sales_order"': "sales_order_id <> 77", '"department"': "department_id <> 3"}
        return f"({seen(at, row)} AND {row}.{keys[row]})" if row in keys else seen(at, row)

    small.totesys("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id IN (77, 78)")
    small.totesys("UPDATE department SET location = 'Leds' WHERE department_id = 3")
    with monkeypatch.context() as patch:
        patch.setattr(fence, "is_new", overlooked)
        small.run()

    found = reconcile(small)
    assert wrong(found).keys() == {"fact_sales_order", "dim_staff"}
    assert verify(small).agrees
    (line,) = [line for line in advice(found).splitlines() if line.startswith("2. If they agree, the lake lacks")]
    assert " Run totes run --full-read " in line
    small.run(*re.findall(r"--full-read (\w+)", line))
    assert reconcile(small).agrees
    assert verify(small).agrees


def test_lost_version_shows_the_one_before(loaded: Pipeline) -> None:
    loaded.totesys("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id = 77")
    loaded.run()
    ((before,),) = loaded.star(
        "DELETE FROM fact_sales_order WHERE units_sold = 4242 AND sales_order_id = 77 RETURNING "
        "(SELECT units_sold FROM sales_order_history WHERE sales_order_id = 77 AND version = 1)"
    )
    found = wrong(reconcile(loaded))["fact_sales_order"]
    assert found.cells == [Cell(77, "units_sold", "4242", str(before))]


def test_invented_and_lost_tombstones_are_found(loaded: Pipeline) -> None:
    loaded.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")
    loaded.run()
    loaded.star("DELETE FROM etl.tombstone WHERE table_name = 'fact_sales_order'")
    loaded.star(
        "INSERT INTO etl.tombstone SELECT 'fact_payment', payment_id, 1, payment_record_id FROM fact_payment "
        "WHERE payment_id = 9"
    )
    found = wrong(reconcile(loaded))
    assert {name: (table.missing.first, table.extra.first) for name, table in found.items()} == {
        "fact_sales_order": ([], [55]),
        "fact_payment": ([9], []),
    }


def test_null_is_no_empty_text_on_either_side(loaded: Pipeline) -> None:
    loaded.totesys("UPDATE address SET district = '', address_line_2 = NULL WHERE address_id = 3")
    loaded.run()
    assert reconcile(loaded).agrees
    loaded.star("UPDATE dim_location SET district = NULL, address_line_2 = '' WHERE location_id = 3")
    found = wrong(reconcile(loaded))["dim_location"]
    assert set(found.cells) == {Cell(3, "district", "", None), Cell(3, "address_line_2", None, "")}


def test_texts_do_not_run_into_each_other(loaded: Pipeline) -> None:
    confusable = {
        5: (("a", "b,c"), ("a,b", "c")),
        6: (("a','b", "c"), ("a", "b','c")),
        7: (("O'Keefe", "\\"), ("O''Keefe", "\\\\")),
    }
    for design, (here, _) in confusable.items():
        loaded.totesys("UPDATE design SET design_name = %s, file_location = %s WHERE design_id = %s", *here, design)
    loaded.run()
    assert reconcile(loaded).agrees
    for design, (_, there) in confusable.items():
        loaded.star("UPDATE dim_design SET design_name = %s, file_location = %s WHERE design_id = %s", *there, design)
    assert wrong(reconcile(loaded))["dim_design"].columns == {"design_name": 3, "file_location": 3}


def test_damage_everywhere_is_counted_exactly_and_shown_in_part(
    loaded: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("totes.verify.reconcile.table.BUCKETS_AT_ONCE", 2)
    loaded.star("UPDATE dim_transaction SET transaction_type = 'SWAP' WHERE transaction_id > 3")
    loaded.star("UPDATE dim_transaction SET sales_order_id = NULL, purchase_order_id = NULL WHERE transaction_id = 8")
    ((rows,),) = loaded.totesys("SELECT count(*) FROM transaction WHERE transaction_id > 3")
    said: list[str] = []
    found = wrong(compare(names(loaded), find_tables(comparable()), said.append))["dim_transaction"]
    assert said[said.index("dim_transaction") :][:3] == [
        "dim_transaction",
        "dim_transaction: 0 of 7 parts that differ",
        "dim_transaction: 2 of 7 parts that differ",
    ]
    assert found.differing == Keys(rows, [4, 5, 6, 7, 8])
    assert found.columns["transaction_type"] == rows
    assert sum(found.columns.values()) == rows + 1
    assert [cell.key for cell in found.cells] == [4, 5, 6, 7, 8, 8]


def test_what_totesys_wrote_since_is_on_its_way(loaded: Pipeline) -> None:
    loaded.totesys("UPDATE payment SET paid = NOT paid WHERE payment_id = 9")
    loaded.totesys("UPDATE department SET department_name = 'Renamed' WHERE department_id = 2")
    loaded.totesys(NEW_ORDER)
    loaded.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")
    found = reconcile(loaded)
    staff = [row[0] for row in loaded.totesys("SELECT staff_id FROM staff WHERE department_id = 2 ORDER BY 1")]
    orphan = loaded.star("SELECT transaction_id FROM dim_transaction WHERE sales_order_id = 55")[0]
    assert found.agrees
    assert on_their_way(found) == {
        "fact_payment": [9],
        "dim_staff": staff[:5],
        "fact_sales_order": [55, 80001],
        "dim_transaction": orphan,
    }
    loaded.ingest()
    assert on_their_way(reconcile(loaded)) == on_their_way(found), "landed is not loaded"
    loaded.run()
    assert (reconcile(loaded).agrees, on_their_way(reconcile(loaded))) == (True, {})


def test_update_that_changes_nothing_is_nothing(loaded: Pipeline) -> None:
    loaded.totesys("UPDATE sales_order SET units_sold = units_sold")
    assert on_their_way(reconcile(loaded)) == {}


def test_damage_is_told_from_what_is_on_its_way(loaded: Pipeline) -> None:
    loaded.totesys("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id = 77")
    loaded.star("UPDATE fact_sales_order SET units_sold = 1 WHERE sales_order_id = 78")
    found = reconcile(loaded)
    assert on_their_way(found) == {"fact_sales_order": [77]}
    assert wrong(found)["fact_sales_order"].differing == Keys(1, [78])
    assert wrong(found)["fact_sales_order"].columns == {"units_sold": 1}
    assert [cell.key for cell in wrong(found)["fact_sales_order"].cells] == [78]


@on("seeded_totesys")
def test_damage_behind_a_standing_fence_is_found(seeded: Pipeline) -> None:
    with seeded.connection(seeded.source) as idler:
        idler.cursor().execute("SELECT pg_current_xact_id()")
        seeded.totesys(NEW_ORDER)
        seeded.totesys(
            "UPDATE payment SET paid = NOT paid, last_updated = '2024-11-15 09:30:00.120' WHERE payment_id = 9"
        )
        seeded.totesys("UPDATE address SET city = 'Renamed' WHERE address_id = 3")
        seeded.run()
        # The idle transaction holds the fence back below all of these, although the batch has them.
        assert on_their_way(reconcile(seeded)) == {}
        seeded.star("DELETE FROM fact_sales_order WHERE sales_order_id = 80001")
        seeded.star("UPDATE fact_payment SET paid = NOT paid WHERE payment_id = 9")
        seeded.star("UPDATE dim_location SET city = 'Lost' WHERE location_id = 3")
        seeded.totesys("UPDATE payment SET paid = NOT paid WHERE payment_id = 10")
        found = reconcile(seeded)
        assert on_their_way(found) == {"fact_payment": [10]}
        assert {name: (table.missing.first, table.differing.first) for name, table in wrong(found).items()} == {
            "fact_sales_order": ([80001], []),
            "fact_payment": ([], [9]),
            "dim_location": ([], [3]),
        }


@on("seeded_totesys")
def test_late_commit_is_on_its_way(seeded: Pipeline) -> None:
    with seeded.connection(seeded.source) as writer:
        writer.cursor().execute("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id = 77")
        seeded.run()
        writer.commit()
    found = reconcile(seeded)
    assert (found.agrees, on_their_way(found)) == (True, {"fact_sales_order": [77]})


def test_deleted_dimension_row_stays_and_is_no_difference(loaded: Pipeline) -> None:
    loaded.totesys(
        "INSERT INTO design (design_id, created_at, design_name, file_location, file_name, last_updated) "
        "VALUES (90001, now(), 'Granite', '/srv', 'granite.json', now())"
    )
    loaded.run()
    loaded.totesys("DELETE FROM design WHERE design_id = 90001")
    found = reconcile(loaded, "dim_design")
    assert (found.agrees, on_their_way(found), found.tables[0].kept) == (True, {"dim_design": [90001]}, Keys())
    loaded.run()
    found = reconcile(loaded, "dim_design")
    assert (found.agrees, on_their_way(found), found.tables[0].kept) == (True, {}, Keys(1, [90001]))
    loaded.star("DELETE FROM etl.tombstone")
    assert wrong(reconcile(loaded, "dim_design"))["dim_design"].extra == Keys(1, [90001])


def test_row_that_is_set_aside_is_told_apart_and_is_no_difference(
    loaded: Pipeline, quarantined: Declares, capsys: pytest.CaptureFixture[str]
) -> None:
    quarantined("sales_order")
    loaded.totesys("UPDATE sales_order SET agreed_payment_date = 'soon' WHERE sales_order_id = 77")
    loaded.totesys(NEW_ORDER)
    loaded.totesys("UPDATE sales_order SET agreed_payment_date = 'later' WHERE sales_order_id = 80001")
    loaded.run()
    found = reconcile(loaded, "fact_sales_order")
    assert (found.agrees, on_their_way(found)) == (True, {})
    assert found.tables[0].quarantined == Keys(2, [77, 80001])
    show_reconciliation(Console(width=200), found)
    shown = capsys.readouterr().out
    assert "fact_sales_order: 2 quarantined, with the reason in etl.quarantine; sales_order_id 77, 80001" in shown
    assert "the only differences are 2 quarantined in etl.quarantine." in shown
    loaded.totesys("UPDATE sales_order SET agreed_payment_date = 'never' WHERE sales_order_id = 77")
    found = reconcile(loaded, "fact_sales_order")
    assert (on_their_way(found), found.tables[0].quarantined.rows) == ({}, 2), "it counts once"
    loaded.totesys("UPDATE sales_order SET agreed_payment_date = '2024-12-01' WHERE sales_order_id IN (77, 80001)")
    loaded.run()
    found = reconcile(loaded, "fact_sales_order")
    assert (found.agrees, found.tables[0].quarantined) == (True, Keys())
    loaded.star("DELETE FROM fact_sales_order WHERE sales_order_id = 80001")
    assert wrong(reconcile(loaded, "fact_sales_order"))["fact_sales_order"].missing == Keys(1, [80001])


def test_without_a_fence_nothing_counts_as_on_its_way(loaded: Pipeline) -> None:
    document = loaded.processed().read(1).as_json()
    document["source"]["timeline"] = (document["source"]["timeline"] or 0) + 1
    loaded.s3.put_object(Bucket=loaded.processed_bucket, Key="log/00000001.json", Body=json.dumps(document).encode())
    assert reconcile(loaded).agrees
    loaded.totesys(NEW_ORDER)
    found = reconcile(loaded)
    assert found.no_fence == "totesys failed over to another server"
    assert wrong(found)["fact_sales_order"].missing == Keys(1, [80001])


def test_value_that_is_no_date_is_shown(loaded: Pipeline) -> None:
    loaded.totesys("UPDATE sales_order SET agreed_payment_date = 'soon' WHERE sales_order_id = 77")
    loaded.star("UPDATE fact_sales_order SET units_sold = 1 WHERE sales_order_id = 78")
    found = reconcile(loaded)
    assert on_their_way(found) == {"fact_sales_order": [77]}
    assert wrong(found)["fact_sales_order"].columns == {"units_sold": 1}


def test_row_without_its_parent_is_compared_all_the_same(loaded: Pipeline) -> None:
    loaded.totesys("ALTER TABLE staff DROP CONSTRAINT staff_department_id_fkey")
    loaded.totesys("DELETE FROM department WHERE department_id = (SELECT department_id FROM staff WHERE staff_id = 7)")
    (staff,) = reconcile(loaded, "dim_staff").tables
    assert (staff.in_totesys, staff.in_warehouse) == (20, 20)
    assert 7 in [cell.key for cell in staff.cells]
    assert staff.columns.keys() >= {"department_name"}


def test_batch_that_is_loaded_meanwhile_does_no_harm(loaded: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def overtaken(*arguments: Any) -> Iterator[PipelineConnection]:
        loaded.totesys(NEW_ORDER)
        loaded.run()
        with connected(*arguments) as connection:
            yield connection

    monkeypatch.setattr("totes.verify.reconcile.snapshots.connected", overtaken)
    found = reconcile(loaded)
    assert (found.agrees, found.batch) == (True, 1)
    assert on_their_way(found) == {"fact_sales_order": [80001]}


def test_only_the_tables_asked_for_are_compared(loaded: Pipeline) -> None:
    loaded.star("UPDATE fact_sales_order SET units_sold = 1 WHERE sales_order_id = 78")
    found = reconcile(loaded, "dim_staff", "fact_payment", "dim_staff")
    assert [table.table for table in found.tables] == ["dim_staff", "fact_payment"]
    assert found.agrees


def test_nothing_is_written_anywhere(loaded: Pipeline) -> None:
    loaded.totesys(NEW_ORDER)
    loaded.star("UPDATE fact_sales_order SET units_sold = 1 WHERE sales_order_id = 78")
    for database in (loaded.source, loaded.warehouse):
        loaded.postgres.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    before = (loaded.objects(), physical_rows(loaded), physical_source(loaded))
    assert wrong(reconcile(loaded))
    assert (loaded.objects(), physical_rows(loaded), physical_source(loaded)) == before


@contextmanager
def opened(pipeline: Pipeline) -> Iterator[Snapshots]:
    """Yields both databases as `totes reconcile` queries them."""
    named = names(pipeline)
    with warehouse(named) as loaded, snapshots(Warehouse(loaded), read_credentials(named.source_secret)) as both:
        yield both


@pytest.mark.parametrize(
    ("side", "table", "refusal"), [("totesys", "sales_order", SourceBusy), ("warehouse", "dim_staff", WarehouseBusy)]
)
def test_neither_database_would_take_a_write(loaded: Pipeline, side: str, table: str, refusal: type[Exception]) -> None:
    with pytest.raises(refusal, match="read-only transaction"), opened(loaded) as both:
        getattr(both, side)(f"DELETE FROM {table} WHERE false")


def test_batch_s_texts_are_those_of_the_warehouse(loaded: Pipeline, tmp_path: Path) -> None:
    landing, processed = Lake(loaded.landing_bucket), Lake(loaded.processed_bucket)
    batch = LoadedBatch(BatchLog(processed).read(1), None, landing, processed, tmp_path)
    with opened(loaded) as both:
        for table in comparable().values():
            key = table.identity
            keys = [row[0] for row in loaded.star(f"SELECT {key} FROM {table.name} ORDER BY {key} LIMIT 500")]
            rows = both.warehouse(warehouse_side(table, 1).values(), keys=keys)
            columns = [column.name for column in columns_of(table, 1)]
            assert batch.brought(table, columns, keys) == {row[0]: list(row[1:]) for row in rows}
            assert batch.had(table, [*keys, 99_999_999]) == set(keys)


def test_warehouse_of_another_lake_is_refused(loaded: Pipeline) -> None:
    loaded.star("UPDATE etl.batch SET snapshot_at = snapshot_at - interval '1 day'")
    with pytest.raises(LogBroken, match="They do not belong together"):
        reconcile(loaded)


@on("seeded_totesys")
def test_empty_warehouse_is_said_to_be_empty(seeded: Pipeline) -> None:
    with pytest.raises(WarehouseEmpty, match="no batch is loaded yet"):
        reconcile(seeded)
    seeded.load()
    with pytest.raises(WarehouseEmpty, match="no batch is loaded yet"):
        reconcile(seeded)


@needs_real_data
def test_real_extract_agrees(pipelines: MakesPipelines, empty_totesys: str) -> None:
    with pipelines(empty_totesys) as real:
        with real.connection(real.source) as connection:
            import_extract(connection, "2024-11-15")
        real.run()
        found = reconcile(real)
    assert found.agrees
    sums = {table.table: table.sums for table in found.tables}
    assert sums["fact_sales_order"]["units_sold"].warehouse == 563_625_106
    assert sums["fact_payment"]["payment_amount"].warehouse == sum(
        (Decimal("567792732.95"), Decimal("543550705.50"), Decimal("575687991.30"), Decimal("1179231220.05"))
    )
    assert sum(table.in_warehouse for table in found.tables) == 11_187 + 4_649 + 2 * 15_836 + 473 + 30 + 2 * 20 + 4 + 3


def physical_source(pipeline: Pipeline) -> dict[str, str]:
    """Returns each row's place in totesys and the transaction that wrote it."""
    return {
        table: pipeline.totesys(f"SELECT md5(string_agg(ctid || ' ' || xmin, ',' ORDER BY ctid)) FROM {table}")[0][0]
        for table in source_tables()
    }


@pytest.mark.parametrize("which", ["source", "warehouse"])
def test_settings_of_a_role_make_no_difference(loaded: Pipeline, which: str) -> None:
    role = {"source": READER, "warehouse": LOADER}[which]
    loaded.totesys("UPDATE staff SET first_name = 'Zoë' WHERE staff_id = 7")
    loaded.run()
    for setting in ("client_encoding = 'latin1'", "DateStyle = 'SQL, DMY'", "quote_all_identifiers = 'on'"):
        loaded.postgres.execute(f"ALTER ROLE {role} IN DATABASE {getattr(loaded, which)} SET {setting}")
    assert reconcile(loaded).agrees
    loaded.star("UPDATE dim_staff SET first_name = 'ZoÃ«' WHERE staff_id = 7")
    assert [table.cells for table in wrong(reconcile(loaded)).values()] == [[Cell(7, "first_name", "Zoë", "ZoÃ«")]]


def test_rows_that_a_policy_hides_are_no_agreement(loaded: Pipeline) -> None:
    """The policies hide the same rows in totesys and in the warehouse."""
    loaded.star("ALTER TABLE fact_payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    with pytest.raises(AccessDenied, match="Row-level security of the warehouse"):
        reconcile(loaded)
    loaded.totesys("ALTER TABLE payment ENABLE ROW LEVEL SECURITY")
    with pytest.raises(AccessDenied, match=r"Row-level security of totesys .* rows of payment"):
        reconcile(loaded)
