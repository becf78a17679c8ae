"""The warehouse after a load."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date

import pytest

from tests.support.back_office import FOUNDATION
from tests.support.injection import statements
from tests.support.loaded import on
from tests.support.pipeline import FACTS, Pipeline, content
from totes.contracts.declarations import warehouse_tables
from totes.errors import ContractViolation, VersionUnknown, WarehouseBusy
from totes.postgres.connection import WAREHOUSE, connected
from totes.warehouse import schema
from totes.warehouse.tables import metadata
from totes.warehouse.warehouse import Warehouse

LATEST = schema.latest_version()
FOREIGN_KEYS = (
    "SELECT conrelid, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE contype = 'f' "
    "ORDER BY conrelid, conname"
)


def test_every_reference_of_the_contracts_is_a_foreign_key(seeded: Pipeline) -> None:
    expected = {
        (table.name, column.name, column.references)
        for table in warehouse_tables().values()
        for column in table.columns
        if column.references
    }
    found = seeded.star(
        "SELECT CAST(conrelid AS regclass)::text, attname, CAST(confrelid AS regclass)::text FROM pg_constraint "
        "JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] "
        "WHERE contype = 'f' AND connamespace = CAST('public' AS regnamespace)"
    )
    assert {tuple(row) for row in found} == expected


INDEXES = (
    "SELECT indexdef, conname, convalidated FROM pg_indexes "
    "LEFT JOIN pg_constraint ON conname = indexname WHERE schemaname = 'public' ORDER BY indexname"
)


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every load a bulk load."""
    monkeypatch.setattr("totes.warehouse.staging.BULK_ROWS", 1)
    monkeypatch.setattr("totes.warehouse.staging.BULK_SHARE", 0)


@on("seeded_totesys")
@pytest.mark.usefixtures("bulk")
def test_bulk_load_leaves_the_same_keys_and_rows(seeded: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded.run()
    keys, rows, indexes = seeded.star(FOREIGN_KEYS), content(seeded), seeded.star(INDEXES)
    seeded.drop_warehouse()
    monkeypatch.setattr("totes.warehouse.staging.BULK_ROWS", 10**9)
    seeded.run()
    assert [row[1:] for row in seeded.star(FOREIGN_KEYS)] == [row[1:] for row in keys]
    assert len(keys) > 20
    assert all(validated for *_, validated in keys)
    assert content(seeded) == rows
    assert seeded.star(INDEXES) == indexes


@on("seeded_totesys")
@pytest.mark.usefixtures("bulk")
def test_bulk_that_comes_again_adds_nothing_to_what_is_there(seeded: Pipeline) -> None:
    seeded.run()
    before = content(seeded)
    _, _, loaded = seeded.run("sales_order")
    assert (loaded.batches, loaded.inserted) == (1, {})
    assert content(seeded) == before


@on("seeded_totesys")
@pytest.mark.usefixtures("bulk")
def test_first_rows_leave_alone_what_others_have_built_on_an_empty_fact(seeded: Pipeline) -> None:
    seeded.ingest()
    seeded.transform()
    with connected(WAREHOUSE, seeded.credentials(seeded.warehouse), "test") as connection:
        schema.migrate(Warehouse(connection))
    seeded.star("CREATE TABLE favourite (sales_record_id integer REFERENCES fact_sales_order)")
    assert seeded.load().inserted["fact_sales_order"] == len(seeded.totesys("SELECT 1 FROM sales_order"))
    seeded.star("INSERT INTO favourite VALUES (1)")


@pytest.mark.usefixtures("bulk")
def test_first_rows_of_a_fact_without_their_dimension_hold_the_batch(pipeline: Pipeline) -> None:
    for statement in FOUNDATION:
        pipeline.totesys(statement)
    pipeline.run()
    pipeline.star("DELETE FROM dim_design WHERE design_id = 2")
    pipeline.totesys(
        "INSERT INTO sales_order (design_id, staff_id, counterparty_id, agreed_delivery_location_id, units_sold, "
        "unit_price, currency_id, agreed_delivery_date, agreed_payment_date, last_updated) "
        "SELECT n, 1, 1, 1, 1000, 2.50, 1, '2024-12-01', '2024-12-02', '2024-11-18' FROM generate_series(1, 2) AS n"
    )
    pipeline.ingest()
    pipeline.transform()
    with pytest.raises(
        ContractViolation, match=r"fact_sales_order breaks the rule `design_id` .*dim_design, which lacks 2\): 2"
    ):
        pipeline.load()
    assert pipeline.star("SELECT * FROM fact_sales_order") == []
    assert pipeline.star("SELECT max(batch_id) FROM etl.batch") == [[1]]


@on("seeded_totesys")
@pytest.mark.parametrize("rows", [0, 10**9], ids=["bulk", "row by row"])
def test_fact_without_its_dimension_holds_the_batch(
    seeded: Pipeline, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("totes.warehouse.staging.BULK_ROWS", rows)
    monkeypatch.setattr("totes.warehouse.staging.BULK_SHARE", 0)
    seeded.run()
    seeded.star("ALTER TABLE fact_sales_order ALTER design_id DROP NOT NULL")
    seeded.star("UPDATE fact_sales_order SET design_id = NULL WHERE design_id = 7")
    seeded.star("DELETE FROM dim_design WHERE design_id = 7")
    seeded.star("ALTER TABLE fact_sales_order ALTER design_id DROP NOT NULL")
    before = content(seeded)
    seeded.totesys("UPDATE sales_order SET design_id = 7 WHERE sales_order_id = 9")
    seeded.ingest()
    seeded.transform()
    with pytest.raises(
        ContractViolation, match=r"fact_sales_order breaks the rule `design_id` .*dim_design, which lacks 7\): 9"
    ):
        seeded.load()
    assert content(seeded) == before


def test_record_ids_grow_with_the_batches(seeded: Pipeline) -> None:
    seeded.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id IN (3, 2, 1)")
    seeded.run()
    ranges = seeded.star(
        "SELECT batch_id, first_record_id, last_record_id, rows_inserted FROM etl.batch_table "
        "WHERE table_name = 'fact_sales_order' ORDER BY 1"
    )
    (_, first, last, count), (_, next_first, next_last, added) = ranges
    assert last - first + 1 == count
    assert (next_first, added, next_last) == (last + 1, 3, last + 3)
    ids = seeded.star(
        "SELECT sales_order_id FROM fact_sales_order WHERE sales_record_id > %s ORDER BY sales_record_id", last
    )
    assert [row[0] for row in ids] == [1, 2, 3]


def test_state_as_of_a_batch_and_as_of_a_moment_agree(seeded: Pipeline) -> None:
    before = seeded.star("SELECT * FROM current_sales_order ORDER BY 1")
    moment = seeded.star("SELECT snapshot_at FROM etl.batch")[0][0]
    seeded.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id < 9")
    seeded.run()
    assert seeded.star("SELECT * FROM sales_order_as_of(1) ORDER BY 1") == before
    assert seeded.star("SELECT * FROM sales_order_as_of(CAST(%s AS timestamptz)) ORDER BY 1", moment) == before
    assert not seeded.star("SELECT * FROM sales_order_as_of(CAST(%s AS timestamptz) - interval '1 s')", moment)
    now = seeded.star("SELECT * FROM current_sales_order ORDER BY 1")
    assert seeded.star("SELECT * FROM sales_order_as_of(now()) ORDER BY 1") == now != before


def test_calendar_grows_in_whole_years_with_the_data(seeded: Pipeline) -> None:
    days = seeded.star("SELECT count(*), min(date_id), max(date_id) FROM dim_date")[0]
    seeded.totesys("UPDATE sales_order SET agreed_delivery_date = '2031-02-03' WHERE sales_order_id = 1")
    seeded.run()
    assert seeded.star("SELECT count(*) FROM dim_date") == [[days[0] + 365]]
    assert seeded.star("SELECT * FROM dim_date WHERE date_id = DATE '2031-02-03'") == [
        [date(2031, 2, 3), 2031, 2, 3, 1, "Monday", "February", 1]
    ]
    assert seeded.star("SELECT array_agg(DISTINCT quarter) FROM dim_date WHERE month IN (3, 6, 9, 12)") == [
        [[1, 2, 3, 4]]
    ]
    # PostgreSQL's own calendar decides.
    assert not seeded.star(
        "SELECT 1 FROM dim_date WHERE (year, month, day, day_of_week, quarter) IS DISTINCT FROM "
        "(extract(year FROM date_id), extract(month FROM date_id), extract(day FROM date_id), "
        "extract(isodow FROM date_id), extract(quarter FROM date_id)) "
        "OR day_name <> to_char(date_id, 'FMDay') OR month_name <> to_char(date_id, 'FMMonth')"
    )


@on("seeded_totesys")
def test_location_that_is_not_known_has_the_documented_default(seeded: Pipeline) -> None:
    seeded.totesys("UPDATE department SET location = NULL WHERE department_id = 1")
    seeded.run()
    default = warehouse_tables()["dim_staff"].column("location").default
    staff = seeded.totesys("SELECT staff_id FROM staff WHERE department_id = 1 ORDER BY 1")
    assert seeded.star("SELECT staff_id FROM dim_staff WHERE location = %s ORDER BY 1", default) == staff


@pytest.fixture
def later_column(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Returns a function that declares dim_staff.location as a column of a version after the latest."""

    def declare() -> None:
        staff = warehouse_tables()["dim_staff"]
        columns = [
            replace(column, since=LATEST + 1) if column.name == "location" else column for column in staff.columns
        ]
        tables = {**warehouse_tables(), staff.name: replace(staff, columns=tuple(columns))}
        for module in ("schema", "tables", "migration"):
            monkeypatch.setattr(f"totes.warehouse.{module}.warehouse_tables", lambda: tables)
        metadata.cache_clear()

    yield declare
    metadata.cache_clear()


def test_column_of_a_later_version_is_added_to_a_loaded_warehouse(
    seeded: Pipeline, later_column: Callable[[], None]
) -> None:
    # The warehouse is as if the column had not been declared when it was made.
    seeded.star("ALTER TABLE dim_staff DROP COLUMN location CASCADE")
    later_column()
    seeded.load()
    assert seeded.star("SELECT array_agg(version) FROM etl.schema_version") == [[[*range(1, LATEST + 2)]]]
    # Existing rows have the default; a full read brings them the values of totesys.
    assert seeded.star("SELECT DISTINCT location FROM dim_staff") == [["Unknown"]]
    seeded.run("staff")
    expected = seeded.totesys(
        "SELECT staff_id, coalesce(location, 'Unknown') FROM staff JOIN department USING (department_id) ORDER BY 1"
    )
    assert seeded.star("SELECT staff_id, location FROM dim_staff ORDER BY 1") == expected


@on("seeded_totesys")
def test_empty_warehouse_goes_through_all_versions(seeded: Pipeline, later_column: Callable[[], None]) -> None:
    later_column()
    seeded.run()
    assert seeded.star("SELECT array_agg(version) FROM etl.schema_version") == [[[*range(1, LATEST + 2)]]]
    assert seeded.star("SELECT count(location) FROM dim_staff") == seeded.totesys("SELECT count(*) FROM staff")


@on("seeded_totesys")
def test_batch_from_before_a_column_can_be_replayed(seeded: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    staff = warehouse_tables()["dim_staff"]
    older = replace(staff, columns=tuple(column for column in staff.columns if column.name != "location"))
    monkeypatch.setattr(
        "totes.warehouse.batch_shaper.warehouse_tables", lambda: {**warehouse_tables(), staff.name: older}
    )
    seeded.ingest()
    seeded.transform()
    seeded.load()
    assert seeded.star("SELECT DISTINCT location FROM dim_staff") == [["Unknown"]]


def test_warehouse_of_a_newer_release_is_left_alone(seeded: Pipeline) -> None:
    seeded.star("INSERT INTO etl.schema_version (version) VALUES (99)")
    with pytest.raises(VersionUnknown, match=rf"schema has version 99; this release knows up to {LATEST}\. Deploy"):
        seeded.load()


@pytest.mark.parametrize("fact", FACTS)
def test_rows_reconcile_from_source_to_warehouse(seeded: Pipeline, fact: str) -> None:
    source = warehouse_tables()[fact].source
    assert seeded.star(f"SELECT count(*) FROM {fact}") == seeded.totesys(f"SELECT count(*) FROM {source}")


CALENDAR = "SELECT count(*) FROM dim_date"


@pytest.mark.usefixtures("bulk")
def test_bulk_of_known_rows_blocks_no_reader(seeded: Pipeline) -> None:
    with statements("ALTER TABLE") as altered:
        assert seeded.run("sales_order", "payment")[2].inserted == {}
        assert altered == []
        # Every order is new.
        seeded.totesys("UPDATE sales_order SET units_sold = units_sold + 1")
        seeded.run()
    assert len(altered) > 8


@pytest.mark.usefixtures("bulk")
def test_bulk_of_new_rows_passes_an_open_transaction(seeded: Pipeline) -> None:
    seeded.totesys("UPDATE sales_order SET units_sold = units_sold + 1")
    seeded.ingest()
    seeded.transform()
    keys = seeded.star(FOREIGN_KEYS)
    with seeded.open_select(CALENDAR):
        loaded = seeded.load()
    assert loaded.inserted == {"fact_sales_order": len(seeded.totesys("SELECT 1 FROM sales_order"))}
    assert seeded.star(FOREIGN_KEYS) == keys


@on("seeded_totesys")
@pytest.mark.usefixtures("bulk")
def test_first_load_goes_round_an_open_transaction(seeded: Pipeline) -> None:
    seeded.ingest()
    seeded.transform()
    with connected(WAREHOUSE, seeded.credentials(seeded.warehouse), "test") as connection:
        schema.migrate(Warehouse(connection))
    keys, indexes = seeded.star(FOREIGN_KEYS), seeded.star(INDEXES)
    with seeded.open_select(CALENDAR), seeded.open_select("SELECT count(*) FROM current_payment"):
        loaded = seeded.load()
    assert loaded.inserted["fact_sales_order"] == len(seeded.totesys("SELECT 1 FROM sales_order"))
    assert (seeded.star(FOREIGN_KEYS), seeded.star(INDEXES)) == (keys, indexes)
    before = content(seeded)
    seeded.drop_warehouse()
    seeded.load()
    assert content(seeded) == before


@pytest.mark.usefixtures("bulk")
def test_huge_bulk_waits_and_names_the_holder(seeded: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totes.warehouse.staging.MOST_ROW_BY_ROW", 10)
    monkeypatch.setattr("totes.postgres.locks.LOCK_SECONDS", 0.5)
    seeded.totesys("UPDATE sales_order SET units_sold = units_sold + 1")
    seeded.ingest()
    seeded.transform()
    with seeded.open_select(CALENDAR) as analyst, pytest.raises(WarehouseBusy) as caught:
        seeded.load()
    assert f"locks are held by {analyst}. Nothing to do unless" in str(caught.value)
    assert seeded.load().batches == 1


def test_load_names_the_uncommitted_writer(seeded: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = replace(WAREHOUSE, session={**WAREHOUSE.session, "lock_timeout": "200ms"})
    monkeypatch.setattr("totes.load.WAREHOUSE", impatient)
    seeded.totesys("UPDATE design SET file_name = 'new.json' WHERE design_id = 7")
    seeded.ingest()
    seeded.transform()
    changed = "UPDATE dim_design SET file_name = 'mine' WHERE design_id = 7"
    with seeded.open_select(changed) as analyst, pytest.raises(WarehouseBusy) as caught:
        seeded.load()
    assert f"locks are held by {analyst}. Nothing to do unless" in str(caught.value)
    assert seeded.load().updated == {"dim_design": 1}
