"""A replay rebuilds the warehouse beside the live one, finds every difference, and leaves the rest alone."""

import dataclasses
from contextlib import suppress

import pytest

from tests.support.injection import Killed, at_statement, dying_at_statement
from tests.support.pipeline import Pipeline, physical_rows
from tests.support.replays import DAMAGES, LAST, ORDER, apart, damage, everything, replayed, schemas, swap, verify
from totes.errors import CorruptObject, DatabaseFailed, VersionUnknown, WarehouseBusy
from totes.postgres.connection import WAREHOUSE, connected
from totes.verify.replay.replay import SHADOW
from totes.warehouse.schema import latest_version
from totes.warehouse.warehouse import Warehouse


def test_history_is_what_this_module_needs(history: Pipeline) -> None:
    assert history.star("SELECT max(batch_id) FROM etl.batch") == [[LAST]]
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
    assert (found.agrees, found.batch) == (True, LAST)
    assert len(found.tables) == 15
    assert {table.table for table in found.tables if table.live == 0} == set()
    assert said[:6] == [f"replaying batch {batch} of 6" for batch in range(1, 7)]
    assert physical_rows(live) == before
    assert schemas(live) == set()


@pytest.mark.parametrize("name", [name for name, (_, expected) in DAMAGES.items() if expected])
def test_damage_is_found_where_it_is(live: Pipeline, name: str) -> None:
    damage(live, name)
    assert apart(verify(live)) == DAMAGES[name][1]


def test_damage_is_named_with_keys_and_columns(live: Pipeline) -> None:
    damage(live, "changed cell")
    live.star("UPDATE fact_purchase_order SET item_quantity = 0, item_unit_price = 0 WHERE purchase_record_id = 4")
    live.star("DELETE FROM fact_purchase_order WHERE purchase_record_id = 9")
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


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_failed_replay_leaves_nothing_behind(live: Pipeline, error: type[BaseException]) -> None:
    found = []

    def fail() -> None:
        found.append(schemas(live))
        raise error

    with at_statement("FULL JOIN", fail), pytest.raises(error):
        verify(live)
    assert (found, schemas(live)) == ([{"replay", "replay_etl"}], set())


def test_schema_of_somebody_else_is_not_dropped(live: Pipeline) -> None:
    live.star("CREATE SCHEMA replay")
    with pytest.raises(DatabaseFailed, match=r"has a schema replay that no replay has made\. Rename it\."):
        verify(live)
    assert schemas(live) == {"replay"}


def test_replay_stands_alone(live: Pipeline) -> None:
    """Without the live warehouse, the replay's views, functions and references exist and give the same answers."""
    questions = (
        "SELECT * FROM {stars}.sales_order_history ORDER BY sales_record_id",
        "SELECT * FROM {stars}.current_payment ORDER BY payment_id",
        "SELECT * FROM {stars}.purchase_order_as_of(2) ORDER BY purchase_order_id",
        "SELECT * FROM {stars}.sales_order_as_of(now()) ORDER BY sales_order_id",
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' "
        "AND connamespace IN (CAST('{stars}' AS regnamespace), CAST('{log}' AS regnamespace))",
    )
    expected = [live.star(question.format(stars="public", log="etl")) for question in questions]
    with replayed(live) as replay:
        assert replay.compare().agrees
        live.drop_warehouse()
        assert [live.star(question.format(stars="replay", log="replay_etl")) for question in questions] == expected
    assert all(expected)


def test_replay_and_load_do_not_wait_for_each_other(live: Pipeline) -> None:
    with connected(WAREHOUSE, live.credentials(live.warehouse), "totes-test") as other:
        with other.begin():
            Warehouse(other).lock()
            assert verify(live).agrees
        with other.begin():
            Warehouse(other, SHADOW).lock()
            assert live.load().loaded_through == LAST


def test_second_replay_gives_up_and_names_the_first(live: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = dataclasses.replace(WAREHOUSE, session={**WAREHOUSE.session, "lock_timeout": "200ms"})
    monkeypatch.setattr("totes.verify.replay.replay.WAREHOUSE", impatient)
    with replayed(live) as first:
        with pytest.raises(WarehouseBusy, match=r"held by pid \d+ \(totes_loader, totes-replay\)"):
            verify(live)
        assert first.compare().agrees


@pytest.mark.parametrize("moment", ['replay_etl".batch_table', "REPEATABLE READ, READ ONLY", "FULL JOIN"])
def test_live_warehouse_may_move_on_meanwhile(small: Pipeline, moment: str) -> None:
    def move_on() -> None:
        small.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id < 9")
        small.run()

    with at_statement(moment, move_on) as seen:
        found = verify(small)
    assert seen
    # The comparison sees the warehouse at one moment, before or after the move.
    assert (found.batch, apart(found)) == (1 if moment == "FULL JOIN" else 2, {})
    assert small.star("SELECT max(batch_id) FROM etl.batch") == [[2]]


def test_live_warehouse_that_is_behind_the_lake_is_compared_as_far_as_it_is(small: Pipeline) -> None:
    small.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id < 9")
    small.ingest()
    small.transform()
    found = verify(small)
    assert (found.batch, found.agrees) == (1, True)


def test_batch_that_the_lake_does_not_know_is_extra(live: Pipeline) -> None:
    live.star("INSERT INTO etl.batch VALUES (99, now(), now(), '')")
    found = verify(live)
    assert (found.batch, apart(found)) == (LAST, {"etl.batch": (0, 1, 0)})


@pytest.mark.parametrize("version", [1, 99])
def test_schema_of_another_release_is_refused(live: Pipeline, version: int) -> None:
    live.star("DELETE FROM etl.schema_version WHERE version > 1")
    live.star("INSERT INTO etl.schema_version (version) VALUES (%s) ON CONFLICT DO NOTHING", version)
    for whole in (False, True):
        said = rf"version {version}, this release's is {latest_version()}\. Replay"
        with pytest.raises(VersionUnknown, match=said), replayed(live, whole):
            pass


def test_damaged_object_is_named(live: Pipeline) -> None:
    stored = live.processed().read(2).objects("data")["fact_sales_order"]
    body = live.s3.get_object(Bucket=live.processed_bucket, Key=stored.key)["Body"].read()
    live.s3.put_object(Bucket=live.processed_bucket, Key=stored.key, Body=body[:-1])
    try:
        with pytest.raises(CorruptObject, match=stored.key):
            verify(live)
    finally:
        live.s3.put_object(Bucket=live.processed_bucket, Key=stored.key, Body=body)
    assert schemas(live) == set()
