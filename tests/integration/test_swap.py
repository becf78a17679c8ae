"""A replay replaces the live warehouse's content: the damages that it heals, and the things it leaves alone."""

import dataclasses
from contextlib import suppress
from typing import Any

import pg8000.dbapi
import pytest

from local.postgres.server import Postgres
from tests.integration.test_kill_points import sweep
from tests.support.injection import at_statement, dying_at_statement, statements
from tests.support.pipeline import Pipeline, physical_rows
from tests.support.replays import DAMAGES, Everything, apart, damage, everything, replayed, swap, verify
from totes.errors import ContractViolation, DatabaseFailed, LogBroken, WarehouseBusy
from totes.postgres.connection import WAREHOUSE

FOREIGN_KEYS = (
    "SELECT CAST(conrelid AS regclass)::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE contype = 'f' ORDER BY 1, 2"
)
LOOK = (
    "SELECT (SELECT sum(units_sold) FROM current_sales_order), (SELECT count(*) FROM fact_payment WHERE paid), "
    "(SELECT count(*) FROM sales_order_history)"
)


def test_row_that_is_there_twice_is_extra_and_keeps_a_swap_from_ending(live: Pipeline) -> None:
    live.star("ALTER TABLE fact_payment DROP CONSTRAINT fact_payment_pkey")
    live.star("INSERT INTO fact_payment SELECT * FROM fact_payment WHERE payment_record_id = 5")
    assert apart(verify(live)) == {"fact_payment": (0, 1, 0)}
    before = everything(live)
    with pytest.raises(DatabaseFailed, match=r"would still differ .*: fact_payment: 0 missing, 1 extra, 0 differing\."):
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
        before, after = without_moments(before), without_moments(after)
    assert after == before
    assert verify(live).agrees


def without_moments(tables: Everything) -> Everything:
    """Entries of the log that were lost get the replay's time and name."""
    return {**tables, "etl.batch": [row[:2] for row in tables["etl.batch"]]}


def without_record_ids(tables: Everything) -> Everything:
    """Removes the record ids: if everything is gone, nothing shows which ids were used up by loads that died."""
    facts = {name: [row[1:] for row in rows] for name, rows in tables.items() if "fact" in name}
    ranges = [[*row[:6], row[6] is None] for row in tables["etl.batch_table"]]
    tombstones = [[*row[:3], *row[4:]] for row in tables["etl.tombstone"]]
    return {**tables, **facts, "etl.batch_table": ranges, "etl.tombstone": tombstones, "sequences": []}


def test_swap_of_what_is_the_same_writes_nothing(live: Pipeline) -> None:
    before = physical_rows(live)
    assert apart(swap(live)) == {}
    assert physical_rows(live) == before


@pytest.mark.parametrize("name", ["everything but the log", "day too many"])
def test_swap_of_a_bulk_heals_and_keeps_the_references(
    live: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("totes.warehouse.staging.BULK_ROWS", 1)
    monkeypatch.setattr("totes.verify.replay.difference.TAKEN_OUT_ONE_BY_ONE", 0)
    keys = live.star(FOREIGN_KEYS)
    before = everything(live)
    damage(live, name)
    with replayed(live, whole=True) as replay:
        found = replay.compare()
        with statements("DROP CONSTRAINT") as dropped:
            replay.swap(found)
    assert len(dropped) == len([key for key in keys if "fact" in key[0]]) > 20
    assert everything(live) == before
    assert live.star(FOREIGN_KEYS) == keys


def test_small_swap_leaves_the_references_alone(live: Pipeline) -> None:
    damage(live, "changed cell")
    with statements("DROP CONSTRAINT") as dropped:
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
    monkeypatch.setattr("totes.warehouse.staging.BULK_ROWS", bulk_rows)
    whole = live.star(LOOK)
    live.star("DELETE FROM fact_sales_order WHERE sales_order_id % 2 = 0")
    live.star("UPDATE fact_payment SET paid = NOT paid")
    damaged = live.star(LOOK)
    assert damaged != whole
    with live.connection(live.warehouse) as earlier:
        cursor = earlier.cursor()
        # It has a snapshot, but no lock on any table yet, like a report that begins with something else.
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
    """Returns what a reader sees at this moment; None if it would have to wait."""
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


def test_dropped_warehouse_is_made_anew(live: Pipeline) -> None:
    before = everything(live)
    for statement in ("DROP SCHEMA etl CASCADE", "DROP SCHEMA public CASCADE"):
        live.star(statement)
    swap(live)
    after = everything(live)
    del before["etl.schema_version"], after["etl.schema_version"]
    assert without_moments(without_record_ids(after)) == without_moments(without_record_ids(before))
    assert live.load().batches == 0


def test_run_after_a_swap_is_quiet_and_the_next_change_gets_the_next_record_id(small: Pipeline) -> None:
    newest = "SELECT max(sales_record_id) FROM fact_sales_order"
    ((last,),) = small.star(newest)
    # Ids start again from 1, as after a restore by hand.
    small.star("DELETE FROM fact_sales_order")
    small.star("ALTER SEQUENCE fact_sales_order_sales_record_id_seq RESTART")
    swap(small)
    rows, objects = physical_rows(small), small.objects()
    assert small.run()[2].batches == 0
    assert (physical_rows(small), small.objects()) == (rows, objects)
    small.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 3")
    small.run()
    assert small.star(newest) == [[last + 1]]
    assert verify(small).agrees


def test_swap_brings_what_the_live_one_has_not_loaded_yet(small: Pipeline) -> None:
    small.totesys("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id = 3")
    small.ingest()
    small.transform()
    found = swap(small)
    assert apart(found)["fact_sales_order"] == (1, 0, 0)
    assert small.star("SELECT units_sold FROM current_sales_order WHERE sales_order_id = 3") == [[4242]]
    assert small.load().batches == 0


def test_batch_that_waits_for_its_correction_goes_on_waiting(small: Pipeline) -> None:
    small.totesys("UPDATE payment SET payment_amount = payment_amount + 1 WHERE payment_id = 7")
    with pytest.raises(ContractViolation):
        small.run()
    before = everything(small)
    small.star("UPDATE fact_payment SET paid = NOT paid")
    swap(small)
    assert everything(small) == before
    small.totesys("UPDATE payment SET payment_amount = payment_amount - 1 WHERE payment_id = 7")
    assert small.run()[2].batches == 2
    assert verify(small).agrees


def test_live_warehouse_may_move_on_before_the_swap(small: Pipeline) -> None:
    small.star("UPDATE dim_design SET design_name = 'x'")

    def move_on() -> None:
        small.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id < 9")
        assert small.run()[2].last == 2

    with replayed(small, whole=True) as replay:
        found = replay.compare()
        with at_statement("pg_advisory_xact_lock", move_on):
            replay.swap(found)
    assert (found.batch, verify(small).batch) == (1, 2)
    assert verify(small).agrees


def test_load_waits_for_the_swap(small: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = dataclasses.replace(WAREHOUSE, session={**WAREHOUSE.session, "lock_timeout": "200ms"})
    monkeypatch.setattr("totes.load.WAREHOUSE", impatient)
    small.star("UPDATE dim_design SET design_name = 'x'")
    small.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id < 9")
    small.ingest()
    refused = []

    def try_to_load() -> None:
        small.transform()
        with pytest.raises(WarehouseBusy, match="totes-replay"):
            small.load()
        refused.append(True)

    with replayed(small, whole=True) as replay:
        found = replay.compare()
        with at_statement("DELETE FROM", try_to_load):
            replay.swap(found)
    assert refused
    assert small.load().batches == 1
    assert verify(small).agrees


def test_swap_never_goes_back_behind_what_is_loaded(live: Pipeline) -> None:
    live.star("INSERT INTO etl.batch VALUES (99, now(), now(), '')")
    before = physical_rows(live)
    with pytest.raises(LogBroken, match=r"log/00000007\.json is missing"):
        swap(live)
    assert physical_rows(live) == before


def test_trigger_that_meddles_keeps_a_swap_from_ending(live: Pipeline) -> None:
    live.star(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.design_name = 'meddled'; RETURN NEW; END $$"
    )
    live.star("UPDATE dim_design SET design_name = 'x' WHERE design_id = 2")
    live.star("CREATE TRIGGER meddle BEFORE UPDATE ON dim_design FOR EACH ROW EXECUTE FUNCTION meddle()")
    before = physical_rows(live)
    with pytest.raises(DatabaseFailed, match=r"dim_design: 0 missing, 0 extra, 1 differing\. Nothing was changed\."):
        swap(live)
    assert physical_rows(live) == before
