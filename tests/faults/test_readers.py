"""F69 and F70: a transaction that an analyst has left open in the warehouse, and others who read meanwhile."""

import contextlib
import threading
from collections.abc import Iterator

import pg8000.dbapi
import pytest

from tests.faults.scenario import HEAL, HOLD, Scenario, fault, on
from tests.support.injection import Countdown, at_statement
from totes.postgres.connection import WAREHOUSE, connected
from totes.warehouse import schema
from totes.warehouse.warehouse import Warehouse

CALENDAR, ORDERS = "SELECT count(*) FROM dim_date", "SELECT count(*) FROM current_sales_order"
# The state machine's five attempts would take three times as long as a reader must not wait. The server measures the
# wait for a lock, so a slow machine does not count.
LONGEST_WAIT = "SET lock_timeout = '1s'"
RETRIES = 4


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drops the keys for ten new rows already."""
    monkeypatch.setattr("totes.warehouse.staging.BULK_ROWS", 10)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a migration give up its locks after 0.6 s."""
    monkeypatch.setattr("totes.postgres.locks.LOCK_SECONDS", 0.6)


@contextlib.contextmanager
def reading(scenario: Scenario) -> Iterator[None]:
    """Reads again and again, as other readers do; fails if a read waits too long for a lock."""
    reads: list[str] = []
    failures: list[Exception] = []
    ended = threading.Event()

    def read() -> None:
        with scenario.pipeline.connection(scenario.pipeline.warehouse) as connection:
            connection.autocommit = True
            connection.cursor().execute(LONGEST_WAIT)
            while not ended.wait(0.02):
                for query in (CALENDAR, ORDERS):
                    connection.cursor().execute(query)
                    reads.append(query)

    def read_until_one_fails() -> None:
        try:
            read()
        except pg8000.dbapi.Error as error:
            failures.append(error)

    reader = threading.Thread(target=read_until_one_fails, daemon=True)
    reader.start()
    try:
        yield
    finally:
        ended.set()
        reader.join()
    assert (failures, set(reads)) == ([], {CALENDAR, ORDERS})


def orders(scenario: Scenario) -> int:
    ((rows,),) = scenario.totesys("SELECT count(*) FROM sales_order")
    return int(rows)


@fault("F69", "an analyst's open transaction on a dimension, during a full re-read", HEAL)
@pytest.mark.usefixtures("bulk")
def test_f69_full_read_passes_by(scenario: Scenario) -> None:
    with scenario.pipeline.open_select(CALENDAR), reading(scenario):
        again = scenario.run({"full_read": ["sales_order", "payment"]})

    assert again.output["ingest"]["rows"]["sales_order"] == orders(scenario)
    assert (again.retried, again.output["load"]["inserted"]) == ([], {})


@fault("F69", "while every order is amended", HEAL)
@pytest.mark.usefixtures("bulk")
def test_f69_many_new_versions_pass_by(scenario: Scenario) -> None:
    scenario.totesys("UPDATE sales_order SET agreed_delivery_location_id = 1 + agreed_delivery_location_id % 5")

    with scenario.pipeline.open_select(CALENDAR), reading(scenario):
        amended = scenario.run()

    assert (amended.retried, amended.output["load"]["inserted"]) == ([], {"fact_sales_order": orders(scenario)})


@on("small_totesys")
@fault("F69", "in the first load", HEAL)
@pytest.mark.usefixtures("bulk")
def test_f69_first_rows_pass_by(scenario: Scenario) -> None:
    pipeline = scenario.pipeline
    with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-test") as connection:
        schema.migrate(Warehouse(connection))

    with scenario.pipeline.open_select(CALENDAR), reading(scenario):
        first = scenario.run()

    assert (first.retried, first.output["load"]["inserted"]["fact_sales_order"]) == ([], orders(scenario))


def go_back_to_version_2(scenario: Scenario) -> None:
    """Takes back what version 3 of the warehouse's schema has brought, so that it and all later ones come again."""
    scenario.star("ALTER TABLE etl.tombstone DROP COLUMN ended_batch_id")
    scenario.star("DELETE FROM etl.schema_version WHERE version >= 3")


@fault("F70", "a migration of the warehouse behind an analyst's open transaction", HOLD)
@pytest.mark.usefixtures("hasty")
def test_f70_blocked_migration_names_the_reader(scenario: Scenario) -> None:
    go_back_to_version_2(scenario)
    scenario.totesys("UPDATE sales_order SET agreed_delivery_location_id = 1 WHERE sales_order_id = 7")

    with scenario.pipeline.open_select(ORDERS) as analyst, reading(scenario):
        failed = scenario.run()

    assert (failed.error, failed.retried) == ("WarehouseBusy", ["WarehouseBusy"] * RETRIES)
    # The other reader may hold them at that moment, too.
    assert analyst in failed.mail.partition("locks are held by ")[2].partition(".")[0]
    assert scenario.run().output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F70", "which ends meanwhile", HEAL)
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
