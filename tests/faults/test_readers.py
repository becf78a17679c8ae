"""F69 and F70: an analyst has left a transaction open in the warehouse, while others read."""

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.scenario import HEAL, HOLD, Scenario, fault, on
from tests.support.injection import Countdown, at_statement
from totes.postgres.connection import WAREHOUSE, connected
from totes.warehouse import schema
from totes.warehouse.warehouse import Warehouse

CALENDAR, ORDERS = "SELECT count(*) FROM dim_date", "SELECT count(*) FROM current_sales_order"
# A reader must not wait longer. The state machine's five attempts would take five times as long.
LONGEST_WAIT = 1.0
RETRIES = 4


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes Load drop the keys for as few as ten new rows."""
    monkeypatch.setattr("totes.warehouse.staging.BULK_ROWS", 10)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a migration give up its locks after 0.6 s."""
    monkeypatch.setattr("totes.postgres.locks.LOCK_SECONDS", 0.6)


@contextlib.contextmanager
def reading(scenario: Scenario) -> Iterator[list[float]]:
    """Reads again and again, as other readers do. Yields the seconds of each read."""
    waits: list[float] = []
    ended = threading.Event()

    def read() -> None:
        with scenario.pipeline.connection(scenario.pipeline.warehouse) as connection:
            connection.autocommit = True
            while not ended.wait(0.02):
                started = time.monotonic()
                for query in (CALENDAR, ORDERS):
                    connection.cursor().execute(query)
                waits.append(time.monotonic() - started)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield waits
    finally:
        ended.set()
        reader.join()


def orders(scenario: Scenario) -> int:
    ((rows,),) = scenario.totesys("SELECT count(*) FROM sales_order")
    return int(rows)


@fault("F69", "an analyst has an open transaction on a dimension during a full refresh", HEAL)
@pytest.mark.usefixtures("bulk")
def test_f69_full_read_passes_by(scenario: Scenario) -> None:
    with scenario.pipeline.open_select(CALENDAR), reading(scenario) as waits:
        again = scenario.run({"full_read": ["sales_order", "payment"]})

    assert again.output["ingest"]["rows"]["sales_order"] == orders(scenario)
    assert (again.retried, again.output["load"]["inserted"]) == ([], {})
    assert max(waits) < LONGEST_WAIT


@fault("F69", "an analyst has an open transaction while every order is amended", HEAL)
@pytest.mark.usefixtures("bulk")
def test_f69_many_new_versions_pass_by(scenario: Scenario) -> None:
    scenario.totesys("UPDATE sales_order SET agreed_delivery_location_id = 1 + agreed_delivery_location_id % 5")

    with scenario.pipeline.open_select(CALENDAR), reading(scenario) as waits:
        amended = scenario.run()

    assert (amended.retried, amended.output["load"]["inserted"]) == ([], {"fact_sales_order": orders(scenario)})
    assert max(waits) < LONGEST_WAIT


@on("small_totesys")
@fault("F69", "an analyst has an open transaction during the first load", HEAL)
@pytest.mark.usefixtures("bulk")
def test_f69_first_rows_pass_by(scenario: Scenario) -> None:
    pipeline = scenario.pipeline
    with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-test") as connection:
        schema.migrate(Warehouse(connection))

    with scenario.pipeline.open_select(CALENDAR), reading(scenario) as waits:
        first = scenario.run()

    assert (first.retried, first.output["load"]["inserted"]["fact_sales_order"]) == ([], orders(scenario))
    assert max(waits) < LONGEST_WAIT


def go_back_to_version_2(scenario: Scenario) -> None:
    """Undoes version 3 of the warehouse's schema, so that it and all later ones are applied again."""
    scenario.star("ALTER TABLE etl.tombstone DROP COLUMN ended_batch_id")
    scenario.star("DELETE FROM etl.schema_version WHERE version >= 3")


@fault("F70", "an analyst's open transaction blocks a migration of the warehouse", HOLD)
@pytest.mark.usefixtures("hasty")
def test_f70_blocked_migration_names_the_reader(scenario: Scenario) -> None:
    go_back_to_version_2(scenario)
    scenario.totesys("UPDATE sales_order SET agreed_delivery_location_id = 1 WHERE sales_order_id = 7")

    with scenario.pipeline.open_select(ORDERS) as analyst, reading(scenario) as waits:
        failed = scenario.run()

    assert (failed.error, failed.retried) == ("WarehouseBusy", ["WarehouseBusy"] * RETRIES)
    # At that moment, the other reader may hold them, too.
    assert analyst in failed.mail.partition("locks are held by ")[2].partition(".")[0]
    assert max(waits) < LONGEST_WAIT
    assert scenario.run().output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F70", "the analyst's transaction ends while the migration waits", HEAL)
def test_f70_migration_is_made_once_the_reader_has_gone(scenario: Scenario) -> None:
    go_back_to_version_2(scenario)
    scenario.totesys("UPDATE sales_order SET agreed_delivery_location_id = 1 WHERE sales_order_id = 7")

    with contextlib.ExitStack() as open_selects:
        open_selects.enter_context(scenario.pipeline.open_select(ORDERS))
        third = Countdown(3, open_selects.close)
        with at_statement("SET LOCAL lock_timeout = '150ms'", third, times=3) as tried:
            healed = scenario.run()

    assert len(tried) >= 3
    assert (healed.retried, healed.output["load"]["inserted"]) == ([], {"fact_sales_order": 1})
