"""The warehouse made anew beside the live one: what it finds, what it heals, and what it leaves alone."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from itertools import count
from typing import Any

import pg8000.dbapi
import pytest
from pg8000.native import identifier

from local.databases import LOADER
from local.postgres import Postgres
from tests.conftest import MakesPipelines
from tests.injection import COMMIT, Killed, at_statement, die, dying_at_statement
from tests.integration.test_kill_points import sweep
from tests.pipeline import Pipeline, physical_rows
from totes import contracts, divergence
from totes.database import WAREHOUSE, connected
from totes.errors import ContractBroken, DatabaseFailed, LogBroken, VersionUnknown, WarehouseBusy
from totes.lake import Lake
from totes.load import load_pending
from totes.replay import BESIDE, Comparison, Replay, replaying
from totes.warehouse import LIVE, latest_version, lock, migrate

ORDER = 30
POISONED = 41
FOREIGN_KEYS = (
    "SELECT CAST(conrelid AS regclass)::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE contype = 'f' ORDER BY 1, 2"
)
LOOK = (
    "SELECT (SELECT sum(units_sold) FROM current_sales_order), (SELECT count(*) FROM fact_payment WHERE paid), "
    "(SELECT count(*) FROM sales_order_history)"
)
Everything = dict[str, list[list[Any]]]
_copies = count(1)


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
    """Swaps, and returns what differed before."""
    with replayed(pipeline, whole=True) as replay:
        found = replay.compare()
        replay.swap(found)
    return found


def apart(found: Comparison) -> dict[str, tuple[int, int, int]]:
    """Missing, extra and differing rows of the tables that have any."""
    return {
        table.table: (table.missing.rows, table.extra.rows, table.differing.rows)
        for table in found.tables
        if not table.agrees
    }


def everything(pipeline: Pipeline) -> Everything:
    """Every value of every table and sequence, moments of loading too."""
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


@pytest.fixture(scope="module")
def history(pipelines: MakesPipelines, drill_totesys: str) -> Iterator[Pipeline]:
    """Six batches with amendments, deletions, a quarantine, a broken rule, and loads that died. Not to be changed."""
    with pipelines(drill_totesys) as pipeline, pytest.MonkeyPatch.context() as patch:
        declare_quarantine(patch)
        make_history(pipeline)
        yield pipeline


def declare_quarantine(patch: pytest.MonkeyPatch) -> None:
    declared = contracts.source_tables()
    declared = {**declared, "sales_order": replace(declared["sales_order"], quarantine=True)}
    for module in ("change", "source", "ingest"):
        patch.setattr(f"totes.{module}.source_tables", lambda: declared)


def make_history(pipeline: Pipeline) -> None:
    change = pipeline.totesys
    pipeline.run()
    change("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id < 20")
    change("UPDATE department SET department_name = 'Renamed' WHERE department_id = 2")
    change("INSERT INTO design VALUES (9001, now(), 'Bronze', '/usr', 'bronze.json', now())")
    # A load that dies has used up record ids.
    with at_statement('INSERT INTO "etl".batch_table', die), suppress(Killed):
        pipeline.run()
    pipeline.run()
    change("UPDATE payment SET payment_amount = payment_amount + 1 WHERE payment_id = 7")
    with suppress(ContractBroken):
        pipeline.run()
    change("UPDATE payment SET payment_amount = payment_amount - 1 WHERE payment_id = 7")
    change(f"DELETE FROM sales_order WHERE sales_order_id = {ORDER}")
    change("DELETE FROM design WHERE design_id = 9001")
    pipeline.run()
    change(f"UPDATE sales_order SET agreed_payment_date = 'soon' WHERE sales_order_id IN ({POISONED}, {POISONED + 1})")
    pipeline.run()
    change(f"UPDATE sales_order SET agreed_payment_date = '2024-12-01' WHERE sales_order_id = {POISONED}")
    pipeline.run()


@pytest.fixture
def live(history: Pipeline, postgres: Postgres) -> Iterator[Pipeline]:
    """The same with a warehouse of the test's own."""
    original, copy = history.warehouse, f"replay_{next(_copies)}"
    postgres.execute(f"CREATE DATABASE {copy} TEMPLATE {identifier(original)} OWNER {LOADER}")
    history.warehouse = copy
    history.put_secret("warehouse", copy, LOADER)
    yield history
    history.warehouse = original
    postgres.execute(f"DROP DATABASE {copy} WITH (FORCE)")


def test_history_is_what_this_module_needs(history: Pipeline) -> None:
    assert history.star("SELECT max(batch_id) FROM etl.batch") == [[6]]
    assert history.star("SELECT count(*), count(released_batch_id) FROM etl.quarantine") == [[2, 1]]
    assert {row[0] for row in history.star("SELECT table_name FROM etl.tombstone")} == {
        "fact_sales_order",
        "dim_design",
    }
    for fact in ("sales", "payment"):
        ((ids, rows),) = history.star(
            f"SELECT max({fact}_record_id), count(*) FROM fact_{fact}{'_order' * (fact == 'sales')}"
        )
        assert ids > rows, "no load died after it had used up record ids"


def test_replay_is_the_same_as_the_live_one(live: Pipeline) -> None:
    before, said = physical_rows(live), []
    with replayed(live, seen=said.append) as replay:
        found = replay.compare()
    assert (found.agrees, found.batch) == (True, 6)
    assert len(found.tables) == 15
    assert {table.table for table in found.tables if table.live == 0} == set()
    assert said[:6] == [f"replaying batch {batch} of 6" for batch in range(1, 7)]
    assert physical_rows(live) == before
    assert schemas(live) == set()


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


@pytest.mark.parametrize("name", [name for name, (_, expected) in DAMAGES.items() if expected])
def test_damage_is_found_where_it_is(live: Pipeline, name: str) -> None:
    damage(live, name)
    assert apart(verify(live)) == DAMAGES[name][1]


def test_damage_is_named_with_keys_and_columns(live: Pipeline) -> None:
    damage(live, "changed cell")
    live.star("UPDATE fact_purchase_order SET item_quantity = 0, item_unit_price = 0 WHERE purchase_record_id = 4")
    live.star("DELETE FROM etl.tombstone WHERE table_name = 'fact_sales_order'")
    live.star("DELETE FROM fact_payment WHERE payment_record_id BETWEEN 11 AND 20")
    found = {table.table: table for table in verify(live).tables}
    purchases = found["fact_purchase_order"]
    assert purchases.columns == {"item_code": 2, "item_quantity": 1, "item_unit_price": 1}
    ids = live.star("SELECT purchase_record_id, purchase_order_id FROM fact_purchase_order ORDER BY 1 LIMIT 4")
    assert purchases.differing.first == [
        {"purchase_record_id": record, "purchase_order_id": order} for record, order in ids[2:]
    ]
    assert found["etl.tombstone"].missing.first == [
        {"table_name": "fact_sales_order", "business_id": ORDER, "batch_id": 4}
    ]
    payments = found["fact_payment"].missing
    assert (payments.rows, [row["payment_record_id"] for row in payments.first]) == (10, [11, 12, 13, 14, 15])
    assert found["fact_payment"].replayed == found["fact_payment"].live + 10


def test_row_that_is_there_twice_is_extra_and_keeps_a_swap_from_ending(live: Pipeline) -> None:
    live.star("ALTER TABLE fact_payment DROP CONSTRAINT fact_payment_pkey")
    live.star("INSERT INTO fact_payment SELECT * FROM fact_payment WHERE payment_record_id = 5")
    assert apart(verify(live)) == {"fact_payment": (0, 1, 0)}
    before = everything(live)
    with pytest.raises(DatabaseFailed, match=r"would still not be .*: fact_payment: 0 missing, 1 extra, 0 differing\."):
        swap(live)
    assert everything(live) == before


@pytest.mark.parametrize("name", DAMAGES)
def test_swap_heals(live: Pipeline, name: str) -> None:
    before = everything(live)
    damage(live, name)
    assert apart(swap(live))
    after = everything(live)
    if name == "all rows":
        before, after = without_record_ids(before), without_record_ids(after)
    if name in {"last batches of the log", "all rows"}:
        # Entries that were gone bear the moment and the name of the replay.
        after["etl.batch"], before["etl.batch"] = ([row[:2] for row in rows["etl.batch"]] for rows in (after, before))
    assert after == before
    assert verify(live).agrees


def without_record_ids(tables: Everything) -> Everything:
    """Where all is gone, nothing tells which ids were used up by loads that died."""
    facts = {name: [row[1:] for row in rows] for name, rows in tables.items() if "fact" in name}
    ranges = [[*row[:6], row[6] is None] for row in tables["etl.batch_table"]]
    tombstones = [row[:3] for row in tables["etl.tombstone"]]
    return {**tables, **facts, "etl.batch_table": ranges, "etl.tombstone": tombstones, "sequences": []}


def test_swap_of_what_is_the_same_writes_nothing(live: Pipeline) -> None:
    before = physical_rows(live)
    assert apart(swap(live)) == {}
    assert physical_rows(live) == before


@pytest.mark.parametrize("name", ["everything but the log", "day too many"])
def test_swap_of_a_bulk_heals_and_keeps_the_references(
    live: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("totes.staging.BULK_ROWS", 1)
    monkeypatch.setattr("totes.divergence.TAKEN_OUT_ONE_BY_ONE", 0)
    keys = live.star(FOREIGN_KEYS)
    before = everything(live)
    damage(live, name)
    with replayed(live, whole=True) as replay:
        found = replay.compare()
        with at_statement("DROP CONSTRAINT", lambda: None) as dropped:
            replay.swap(found)
    assert len(dropped) == len([key for key in keys if "fact" in key[0]]) > 20
    assert everything(live) == before
    assert live.star(FOREIGN_KEYS) == keys


def test_small_swap_leaves_the_references_alone(live: Pipeline) -> None:
    damage(live, "changed cell")
    with at_statement("DROP CONSTRAINT", lambda: None) as dropped:
        swap(live)
    assert dropped == []


def test_swap_leaves_what_others_have_built_on_the_warehouse(live: Pipeline, postgres: Postgres) -> None:
    for statement in (
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO totes_reader",
        "CREATE SCHEMA reports",
        "CREATE VIEW reports.units AS SELECT sum(units_sold) AS units FROM current_sales_order",
        "CREATE TABLE reports.favourite (design_id integer REFERENCES dim_design)",
        "INSERT INTO reports.favourite VALUES (1)",
        "ALTER TABLE fact_payment ADD COLUMN note text",
        "UPDATE fact_payment SET note = 'mine' WHERE payment_record_id = 1",
    ):
        live.star(statement)
    grants = live.star("SELECT oid, relacl FROM pg_class WHERE relacl IS NOT NULL ORDER BY 1")
    units = live.star("SELECT units FROM reports.units")
    live.star("UPDATE fact_sales_order SET units_sold = 0")
    live.star("DELETE FROM fact_payment WHERE payment_record_id > 1")
    live.star("UPDATE dim_design SET design_name = 'x'")
    swap(live)
    assert live.star("SELECT units FROM reports.units") == units
    assert live.star("SELECT oid, relacl FROM pg_class WHERE relacl IS NOT NULL ORDER BY 1") == grants
    assert live.star("SELECT design_name FROM reports.favourite JOIN dim_design USING (design_id)") != [["x"]]
    assert live.star("SELECT count(note), count(*) > 1 FROM fact_payment") == [[1, True]]


@pytest.mark.parametrize("bulk_rows", [1, 10**9], ids=["bulk", "row by row"])
def test_reader_sees_the_old_or_the_new_and_nothing_between(
    live: Pipeline, monkeypatch: pytest.MonkeyPatch, bulk_rows: int
) -> None:
    monkeypatch.setattr("totes.staging.BULK_ROWS", bulk_rows)
    whole = live.star(LOOK)
    live.star("DELETE FROM fact_sales_order WHERE sales_order_id % 2 = 0")
    live.star("UPDATE fact_payment SET paid = NOT paid")
    damaged = live.star(LOOK)
    assert damaged != whole
    with live.connection(live.warehouse) as earlier:
        cursor = earlier.cursor()
        # A snapshot, and no lock on any table yet: as a report has that begins with something else.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
        seen: list[list[list[Any]]] = []
        with replayed(live, whole=True) as replay:
            found = replay.compare()
            with at_statement("", lambda: seen.append(look_now(live)), times=1000):
                replay.swap(found)
        cursor.execute(LOOK)
        assert list(cursor.fetchall()) == damaged
    assert [rows for rows in seen if rows not in ([], damaged)] == []
    assert damaged in seen
    assert live.star(LOOK) == whole


def look_now(pipeline: Pipeline) -> list[list[Any]]:
    """What a reader sees at this moment; nothing where it would have to wait."""
    with pipeline.connection(pipeline.warehouse) as connection:
        connection.cursor().execute("SET lock_timeout = '100ms'")
        cursor = connection.cursor()
        with suppress(pg8000.dbapi.DatabaseError):
            cursor.execute(LOOK)
            return list(cursor.fetchall())
    return []


def test_dying_at_any_statement_of_a_swap_leaves_the_live_one_as_it_was(live: Pipeline) -> None:
    before = everything(live)
    for name in ("changed cell", "deleted version", "missing tombstone", "day too many"):
        damage(live, name)
    damaged = physical_rows(live)
    with replayed(live, whole=True) as replay:
        found = replay.compare()

        def swap_nothing() -> None:
            assert physical_rows(live) == damaged, "half a swap was done"
            replay.swap(found)

        assert sweep(dying_at_statement, swap_nothing) > 60
    assert everything(live) == before


def test_replay_that_died_is_cleared_away_by_the_next(live: Pipeline) -> None:
    damage(live, "changed cell")
    damaged = everything(live)
    for number in (3, 10, 40, 150, 400):
        with dying_at_statement(number) as countdown, suppress(Killed):
            swap(live)
        assert countdown.left == 0, "it came through alive"
        assert everything(live) == damaged
    assert schemas(live) == {"replay", "replay_etl"}
    assert not verify(live).agrees
    assert schemas(live) == set()


def test_failed_replay_leaves_nothing_behind(live: Pipeline) -> None:
    with pytest.raises(ZeroDivisionError), replayed(live):
        assert schemas(live) == {"replay", "replay_etl"}
        raise ZeroDivisionError
    assert schemas(live) == set()


def test_schema_of_somebody_else_is_not_dropped(live: Pipeline) -> None:
    live.star("CREATE SCHEMA replay")
    with pytest.raises(DatabaseFailed, match=r"has a schema replay that no replay has made\. Rename it\."):
        verify(live)
    assert schemas(live) == {"replay"}
