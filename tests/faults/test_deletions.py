"""F67 and F68: a clock that goes back, and a totesys that has lost more rows than the pipeline deletes unconfirmed."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from pg8000.native import identifier

from local.postgres.databases import READER
from tests.conftest import Declares
from tests.faults.outcome import Execution
from tests.faults.scenario import HEAL, HOLD, WARN, Scenario, fault, on
from tests.faults.test_backfill import Backfills, succeeded
from tests.support.pipeline import LOAD_ORDER
from totes.contracts import declarations
from totes.postgres.driver import PipelineConnection
from totes.postgres.rows import Rows

STAMP = "TIMESTAMP '2024-11-18 09:30:00.123'"
AMENDED = "UPDATE payment SET paid = NOT paid WHERE payment_id = %s"
DESIGNS = (
    "INSERT INTO design (design_id, created_at, design_name, file_location, file_name, last_updated) "
    f"SELECT number, {STAMP}, 'Granite', '/srv', 'granite.json', {STAMP} "
    "FROM generate_series(10001, 10000 + %s) AS number"
)
GONE = "DELETE FROM design WHERE design_id > 10000 AND design_id <= 10000 + %s"
EARLIER_STAMP = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")
ORDERS = "sales_order", "purchase_order"


# F67


@contextlib.contextmanager
def clock_ahead(interval: str = "1 hour") -> Iterator[None]:
    """Sets the source's clock ahead, as far as Ingest's queries see it."""

    execute = PipelineConnection.execute

    def shift(self: PipelineConnection, statement: str, *more: Any, **named: Any) -> Rows:
        shifted = re.sub(
            r"(pg_catalog\.)?(clock_timestamp|now|statement_timestamp)\(\)",
            rf"(\g<0> + interval '{interval}')",
            statement,
        )
        return execute(self, shifted if "snapshot" in statement else statement, *more, **named)

    with mock.patch.object(PipelineConnection, "execute", shift):
        yield


def snapshot_times(scenario: Scenario) -> list[Any]:
    log = scenario.pipeline.landed()
    return [log.read(batch).snapshot_at for batch in range(1, log.last() + 1)]


def backward(scenario: Scenario) -> list[list[Any]]:
    """Returns the versions that ended before they began."""
    return [
        row
        for fact in (*ORDERS, "payment")
        for row in scenario.star(
            f"SELECT {fact}_id, valid_from, valid_to FROM {fact}_history WHERE valid_to < valid_from"
        )
    ]


@fault("F67", "the clock of totesys goes back", WARN)
@on("small_totesys")
def test_f67_no_version_ends_before_it_began(scenario: Scenario) -> None:
    with clock_ahead():
        scenario.run()
    scenario.totesys(AMENDED, 7)
    scenario.totesys("DELETE FROM payment WHERE payment_id = 8")
    back = scenario.run()
    scenario.totesys(AMENDED, 7)
    scenario.run()

    times = snapshot_times(scenario)
    assert times == sorted(times)
    assert backward(scenario) == []
    versions = "SELECT version, valid_to IS NULL FROM payment_history WHERE payment_id = 7 ORDER BY version"
    assert scenario.star(versions) == [[1, False], [2, False], [3, True]]
    (warning,) = [text for text in back.warnings if "clock" in text]
    assert len(EARLIER_STAMP.findall(warning)) == 2


@fault("F67", "the clock of totesys goes back, and nothing is new", WARN)
@on("small_totesys")
def test_f67_clock_that_goes_back_is_no_news(scenario: Scenario) -> None:
    with clock_ahead():
        scenario.run()

    back = scenario.run()

    assert back.output["ingest"]["batch"] is None
    assert any("clock" in text for text in back.warnings)


@on("small_totesys")
def test_backfill_is_not_earlier_than_the_batch_before_it(scenario: Scenario) -> None:
    with clock_ahead():
        scenario.run()
    scenario.totesys(AMENDED, 7)

    assert succeeded(Backfills(scenario).run(rows=200))
    scenario.totesys(AMENDED, 7)
    scenario.run()

    times = snapshot_times(scenario)
    assert times == sorted(times)
    assert backward(scenario) == []


# F68


def held(failed: Execution, counts: dict[str, int], *, is_repeated: bool = False) -> None:
    """Asserts that deletions held an execution, and that it names them and the input that accepts them."""
    assert failed.error == "DeletionsHeld"
    assert failed.retried == []
    assert failed.changed_nothing
    accept = json.dumps({"accept_deletions": counts})
    assert accept in failed.remedy
    assert failed.mails == [] if is_repeated else accept in failed.mail
    for table, rows in counts.items():
        assert re.search(rf"{table}\W.{{0,40}}\b{rows:,}\b|\b{rows:,}\b.{{0,40}}\b{table}\b", failed.cause), (
            failed.cause
        )


@fault("F68", "more than 100 rows and more than 10 % of a table are gone", HOLD)
def test_f68_mass_deletion_is_held_until_it_is_accepted(scenario: Scenario) -> None:
    scenario.totesys(DESIGNS, 300)
    scenario.run()
    scenario.totesys(GONE, 200)
    scenario.totesys(AMENDED, 7)

    first, second = scenario.run(), scenario.run()
    short = scenario.run({"accept_deletions": {"design": 199}})
    accepted = scenario.run({"accept_deletions": {"design": 200}})

    held(first, {"design": 200})
    for failed in (second, short):
        held(failed, {"design": 200}, is_repeated=True)
    assert accepted.output["ingest"]["deleted"] == {"design": 200}
    assert accepted.output["load"]["tombstones"] == {"dim_design": 200}
    assert accepted.output["load"]["inserted"] == {"fact_payment": 1}


@fault("F68", "the rows come back before anybody has accepted their deletion", HOLD)
def test_f68_rows_that_come_back_were_never_gone(scenario: Scenario) -> None:
    scenario.run()
    with scenario.session() as other:
        cursor = other.cursor()
        cursor.execute("CREATE TABLE kept AS SELECT * FROM payment")
        cursor.execute("TRUNCATE payment")
        other.commit()
        failed = scenario.run()
        cursor.execute("INSERT INTO payment SELECT * FROM kept")
        other.commit()

    held(failed, {"payment": 317})
    back = scenario.run()
    assert back.output["ingest"]["deleted"] == {}
    assert (back.output["load"]["inserted"], back.output["load"]["tombstones"]) == ({}, {})


@fault("F68", "several tables have lost more rows than one batch may delete", HOLD)
def test_f68_all_tables_have_to_be_accepted(scenario: Scenario) -> None:
    scenario.totesys(DESIGNS, 300)
    scenario.run()
    scenario.totesys("TRUNCATE payment")
    scenario.totesys(GONE, 300)

    both = scenario.run()
    one = scenario.run({"accept_deletions": {"payment": 317}})
    accepted = scenario.run({"accept_deletions": {"payment": 317, "design": 300}})

    assert both.error == "DeletionsHeld"
    given = json.loads(both.remedy[both.remedy.index("{") : both.remedy.rindex("}") + 1])
    assert given == {"accept_deletions": {"payment": 317, "design": 300}}
    assert one.error == "DeletionsHeld"
    assert accepted.output["ingest"]["deleted"] == {"payment": 317, "design": 300}


@fault("F68", "totesys is emptied", HOLD)
def test_f68_emptied_source_is_held(scenario: Scenario) -> None:
    scenario.run()
    with scenario.session() as other:
        cursor = other.cursor()
        for table in LOAD_ORDER:
            cursor.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
        cursor.execute(f"TRUNCATE {', '.join(LOAD_ORDER)}")
        other.commit()
        failed = scenario.run()
        for table in LOAD_ORDER:
            cursor.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")
        other.commit()

    assert failed.error == "DeletionsHeld"
    assert failed.changed_nothing
    large = {"payment": 317, "transaction": 317, "sales_order": 224, "design": 473}
    assert all(f'"{table}": {rows}' in failed.mail for table, rows in large.items())
    back = scenario.run()
    assert back.output["ingest"]["deleted"] == {}


PASSING = {"100 of 317": (0, 100), "10 %, and more than 100": (727, 120)}


@fault("F68", "exactly as many rows are gone as one batch may delete", HEAL)
@pytest.mark.parametrize(("more", "gone"), PASSING.values(), ids=PASSING)
def test_f68_ordinary_deletions_pass(scenario: Scenario, more: int, gone: int) -> None:
    if more:
        scenario.totesys(DESIGNS, more)  # 1,200 in all
    scenario.run()
    scenario.totesys(GONE if more else "DELETE FROM payment WHERE payment_id <= %s", gone)

    passed = scenario.run()

    assert passed.output["ingest"]["deleted"] == {"design" if more else "payment": gone}


HELD = {"101 of 317": (0, 101), "more than 10 %": (727, 121)}


@fault("F68", "one row more is gone than one batch may delete", HOLD)
@pytest.mark.parametrize(("more", "gone"), HELD.values(), ids=HELD)
def test_f68_one_more_is_held(scenario: Scenario, more: int, gone: int) -> None:
    if more:
        scenario.totesys(DESIGNS, more)
    scenario.run()
    scenario.totesys(GONE if more else "DELETE FROM payment WHERE payment_id <= %s", gone)

    counts = {"design" if more else "payment": gone}
    held(scenario.run(), counts)

    assert scenario.run({"accept_deletions": counts}).output["ingest"]["deleted"] == counts


@fault("F68", "orders are gone, and their transactions lose the reference", HOLD)
def test_f68_orders_are_held_with_what_lost_its_reference(scenario: Scenario) -> None:
    scenario.run()
    scenario.totesys("DELETE FROM sales_order WHERE sales_order_id <= 150")

    held(scenario.run(), {"sales_order": 150})

    accepted = scenario.run({"accept_deletions": {"sales_order": 150}})
    assert accepted.output["load"]["tombstones"] == {"fact_sales_order": 150}
    assert accepted.output["load"]["updated"]["dim_transaction"] > 0


@fault("F68", "keys that are assigned again, together with a full read", HOLD)
def test_f68_renumbered_rows_are_gone_whatever_came(scenario: Scenario) -> None:
    scenario.run()
    scenario.totesys("UPDATE payment SET payment_id = payment_id + 10000 WHERE payment_id <= 150")

    held(scenario.run({"full_read": ["payment", "design"]}), {"payment": 150})

    accepted = scenario.run({"accept_deletions": {"payment": 150}})
    assert accepted.output["load"]["inserted"] == {"fact_payment": 150}


@fault("F68", "rows are deleted and written again, or come and go between two runs", HEAL)
def test_f68_keys_that_are_there_again_are_not_gone(scenario: Scenario) -> None:
    scenario.run()
    with scenario.session() as other:
        cursor = other.cursor()
        cursor.execute("CREATE TEMP TABLE kept AS SELECT * FROM payment")
        cursor.execute("DELETE FROM payment")
        cursor.execute("INSERT INTO payment SELECT * FROM kept")
        cursor.execute(DESIGNS, (300,))
        cursor.execute(GONE, (300,))
        cursor.execute("DELETE FROM payment WHERE payment_id = 7")
        other.commit()

    passed = scenario.run({"full_read": ["design"]})

    assert passed.output["ingest"]["deleted"] == {"payment": 1}


@fault("F68", "rows are gone that were quarantined from the start", WARN)
@on("small_totesys")
def test_f68_rows_that_were_never_landed_are_not_gone(scenario: Scenario, quarantined: Declares) -> None:
    quarantined("design")
    scenario.totesys(DESIGNS, 300)
    scenario.totesys("UPDATE design SET created_at = 'infinity' WHERE design_id > 10000")
    scenario.history_checker.quarantined[1] = {("design", key) for key in range(10_001, 10_301)}
    first = scenario.run()
    assert first.output["ingest"]["quarantined"] == {"design": 300}

    scenario.totesys(GONE, 300)
    passed = scenario.run()

    assert passed.output["ingest"]["deleted"] == {}


@pytest.fixture
def another(scenario: Scenario) -> Iterator[str]:
    """Yields the name of a database to create, and drops it after the test."""
    name = f"{scenario.pipeline.source}_another"
    yield name
    scenario.pipeline.postgres.execute(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)")


def move(scenario: Scenario, name: str, template: str) -> None:
    """Creates a database from a template and points the secret to it."""
    scenario.pipeline.postgres.execute(f"CREATE DATABASE {identifier(name)} TEMPLATE {identifier(template)}")
    scenario.pipeline.put_secret("source", name, READER)


@fault("F68", "a single row is gone, and the database is another one than before", HOLD)
def test_f68_any_deletion_from_another_database_is_held(scenario: Scenario, another: str) -> None:
    scenario.run()
    move(scenario, another, scenario.pipeline.source)
    scenario.pipeline.source = another
    scenario.totesys("DELETE FROM payment WHERE payment_id = 7")

    held(scenario.run(), {"payment": 1})

    accepted = scenario.run({"accept_deletions": {"payment": 1}})
    assert accepted.output["load"]["tombstones"] == {"fact_payment": 1}
    # From here on, the database is the one of the batch before.
    scenario.totesys("DELETE FROM payment WHERE payment_id = 8")
    assert scenario.run().output["load"]["tombstones"] == {"fact_payment": 1}


@fault("F68", "the secret points to a nearly empty database", HOLD)
def test_f68_wrong_database_is_held(scenario: Scenario, another: str, empty_totesys: str) -> None:
    scenario.run()
    move(scenario, another, empty_totesys)

    failed = scenario.run()

    assert failed.error == "DeletionsHeld"
    assert failed.changed_nothing
    assert '"payment": 317' in failed.mail
    # In another database, any deletion is held, however few rows the table had.
    assert '"currency": 3' in failed.mail
    scenario.pipeline.put_secret("source", scenario.pipeline.source, READER)
    scenario.totesys(AMENDED, 7)
    assert scenario.run().output["load"]["inserted"] == {"fact_payment": 1}


WRONG: dict[str, Any] = {
    "undeclared table": {"paymint": 5},
    "zero": {"payment": 0},
    "negative": {"payment": -5},
    "text": {"payment": "5"},
    "fraction": {"payment": 5.5},
    "true": {"payment": True},
    "list": ["payment"],
    "number": 5,
}


@fault("F68", "the input that accepts deletions makes no sense", HOLD)
@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG)
def test_f68_wrong_acceptance_is_refused(scenario: Scenario, given: Any) -> None:
    failed = scenario.run({"accept_deletions": given})

    assert failed.error == "InputRefused"
    assert "accept_deletions" in failed.mail
    assert failed.changed_nothing
    scenario.run()


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Declares the share of a table that one batch may delete."""

    def declare(table: str, most: float) -> None:
        tables = declarations.source_tables()
        declared = {**tables, table: replace(tables[table], max_deleted_share=most)}
        for module in ("source.changes", "source.snapshot", "backfill", "source.deletions"):
            monkeypatch.setattr(f"totes.{module}.source_tables", lambda: declared)

    return declare


@fault("F68", "a table declares that one batch may delete all its rows", HEAL)
@pytest.mark.parametrize(("most", "gone"), [(1.0, 317), (0.5, 158)])
def test_f68_declared_share_may_go(scenario: Scenario, share: Any, most: float, gone: int) -> None:
    share("payment", most)
    scenario.run()
    scenario.totesys("DELETE FROM payment WHERE payment_id <= %s", gone)

    assert scenario.run().output["ingest"]["deleted"] == {"payment": gone}


@fault("F68", "a table declares the share that one batch may delete", HOLD)
@pytest.mark.parametrize(("most", "gone"), [(0.5, 159), (0.0, 101)])
def test_f68_more_than_the_declared_share_is_held(scenario: Scenario, share: Any, most: float, gone: int) -> None:
    share("payment", most)
    scenario.run()
    scenario.totesys("DELETE FROM payment WHERE payment_id <= %s", gone)

    held(scenario.run(), {"payment": gone})

    scenario.run({"accept_deletions": {"payment": gone}})


def test_deletions_before_a_backfill_are_held_after_it(scenario: Scenario) -> None:
    scenario.run()
    scenario.totesys("DELETE FROM payment WHERE payment_id <= 150")
    assert succeeded(Backfills(scenario).run())

    failed = scenario.run()
    accepted = scenario.run({"accept_deletions": {"payment": 150}})

    assert failed.error == "DeletionsHeld"
    assert accepted.output["ingest"]["deleted"] == {"payment": 150}


@on("empty_totesys")
@fault("F68", "totesys is empty, so nothing can be deleted", HEAL)
def test_f68_empty_source_has_nothing_to_lose(scenario: Scenario) -> None:
    scenario.run()
    scenario.totesys(DESIGNS, 300)

    assert scenario.run().output["ingest"]["rows"] == {"design": 300}
