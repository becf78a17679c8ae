"""F51 to F55: batches that come to Load again, late, wrong, in large numbers, or from another release."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from local.lambda_runtime.runtime import InvokeResult, ServiceError
from local.postgres.databases import LOADER
from tests.conftest import Declares
from tests.faults.outcome import Execution
from tests.faults.scenario import HEAL, HOLD, NOOP, WARN, Scenario, fault, on
from tests.faults.workers import aborting
from tests.support.executions import later
from tests.support.injection import COMMIT, at_statement
from totes.lake.batch_log import entry
from totes.lake.manifest import VERSION

STAMP = "TIMESTAMP '2024-11-18 09:30:00.123'"
RENAME = "UPDATE design SET file_name = %s WHERE design_id = %s"
MOVE = "UPDATE sales_order SET agreed_delivery_location_id = %s WHERE sales_order_id = %s"
NAME_OF = "SELECT file_name FROM dim_design WHERE design_id = %s"
PLACES_OF = "SELECT agreed_delivery_location_id FROM sales_order_history WHERE sales_order_id = %s ORDER BY version"

MANY_ORDERS = (
    "INSERT INTO sales_order (created_at, last_updated, design_id, staff_id, counterparty_id, units_sold, "
    "unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id) "
    f"SELECT {STAMP}, {STAMP}, 1, 1, 1, number, 2.5, 1, '2024-11-20', '2024-11-21', 1 "
    "FROM generate_series(1, 9999) AS number"
)
POISON = "UPDATE sales_order SET agreed_payment_date = 'soon' WHERE sales_order_id = %s"
CURE = "UPDATE sales_order SET agreed_payment_date = '2024-12-01' WHERE sales_order_id = %s"


@on("small_totesys")
@fault("F51", "rows that are loaded come again, because the fence does not move", HEAL)
def test_f51_rows_that_come_again_add_no_version(scenario: Scenario) -> None:
    with scenario.session() as idler:
        idler.cursor().execute("SELECT pg_current_xact_id()")
        scenario.run()
        change(scenario, 1, 7, "older.json", 11)
        scenario.run()
        change(scenario, 2, 8, "newer.json", 12)

        again = scenario.run()

    assert again.output["ingest"]["rows"] == {"design": 2, "sales_order": 2}
    assert again.output["load"]["updated"] == {"dim_design": 1}
    assert again.output["load"]["inserted"] == {"fact_sales_order": 1}
    assert [scenario.star(NAME_OF, design) for design in (1, 2)] == [[["older.json"]], [["newer.json"]]]


@fault("F51", "a batch's turn comes after another execution has loaded it and a newer one", HEAL)
def test_f51_batch_that_was_overtaken_changes_nothing(scenario: Scenario) -> None:
    ((place,),) = scenario.star(PLACES_OF, 7)
    change(scenario, 1, 7, "older.json", place + 1)

    def overtake() -> None:
        change(scenario, 1, 7, "newer.json", place + 2)
        scenario.run()

    with at_statement("pg_advisory_xact_lock", overtake):
        overtaken = scenario.run()

    newer = scenario.executions[-2]
    assert (newer.output["load"]["first"], newer.output["load"]["last"]) == (2, 3)
    assert (overtaken.output["load"]["batches"], overtaken.output["load"]["inserted"]) == (0, {})
    assert scenario.star(NAME_OF, 1) == [["newer.json"]]
    assert scenario.star(PLACES_OF, 7) == [[place], [place + 1], [place + 2]]


@on("small_totesys")
@fault(
    "F51",
    "an old event of Load is delivered again",
    NOOP,
    because="an event names no batch: the warehouse's own log shows that nothing is due",
)
def test_f51_old_event_finds_nothing_to_do(scenario: Scenario) -> None:
    events: list[dict[str, Any]] = []

    def noted(name: str, event: dict[str, Any]) -> InvokeResult:
        events.append(event)
        return scenario.switchboard.usual(name, event)

    with scenario.instead("load", noted):
        scenario.run()
    change(scenario, 1, 7, "newer.json", 12)
    scenario.run()

    with scenario.instead("load", lambda name, _: scenario.switchboard.usual(name, events[0])):
        late = scenario.run()

    assert (late.output["load"]["batches"], late.output["load"]["loaded_through"]) == (0, 2)


@fault("F52", "an order falls in 2031, a year that dim_date lacks", HEAL)
def test_f52_calendar_grows_in_the_same_transaction(scenario: Scenario) -> None:
    scenario.totesys("UPDATE sales_order SET agreed_delivery_date = '2031-02-03' WHERE sales_order_id = 7")
    seen: list[tuple[int, int]] = []

    with at_statement(COMMIT, lambda: seen.append(of_2031(scenario)), times=100):
        extended = scenario.run()

    # A reader before any of the commits sees neither the days nor the order.
    assert set(seen) == {(0, 0)}
    assert of_2031(scenario) == (365, 1)
    assert extended.output["load"]["inserted"] == {"dim_date": 365, "fact_sales_order": 1}


@fault("F53", "one row of 10,000 breaks its contract", HOLD)
def test_f53_poison_row_holds_its_run(scenario: Scenario) -> None:
    scenario.totesys(MANY_ORDERS)
    scenario.totesys(POISON, 7)

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert "sales_order 7: agreed_payment_date is 'soon', expected a date" in failed.mail
    assert scenario.pipeline.landed().last() == 1
    scenario.totesys(CURE, 7)
    assert scenario.run().output["load"]["inserted"] == {"fact_sales_order": 10_000}


@fault("F53", "one row of 10,000 breaks its contract, in a table with quarantine = true", WARN)
@pytest.mark.parametrize("cured", [False, True], ids=["left", "cured"])
def test_f53_poison_row_is_set_aside(scenario: Scenario, quarantined: Declares, cured: bool) -> None:
    quarantined("sales_order")
    scenario.totesys(MANY_ORDERS)
    scenario.totesys(POISON, 7)
    scenario.history_checker.quarantined[2] = {("sales_order", 7)}

    odd = scenario.run()

    assert odd.warnings == ["sales_order has 1 row that is quarantined: see etl.quarantine"]
    assert odd.output["load"]["inserted"] == {"fact_sales_order": 9_999}
    (aside,) = scenario.star("SELECT table_name, business_id, batch_id, reason, released_batch_id FROM etl.quarantine")
    reason = "sales_order 7: agreed_payment_date is 'soon', expected a date, YYYY-MM-DD"
    assert aside == ["sales_order", 7, 2, reason, None]
    if cured:
        scenario.totesys(CURE, 7)
        assert scenario.run().output["load"]["inserted"] == {"fact_sales_order": 1}
        assert scenario.star("SELECT released_batch_id FROM etl.quarantine") == [[3]]


@fault("F54", "six runs fail, and the next one succeeds", HOLD)
def test_f54_one_larger_run_catches_up(scenario: Scenario) -> None:
    ((place,),) = scenario.star(PLACES_OF, 7)
    moves = [place % 20 + number for number in range(1, 8)]
    for move in moves[:6]:
        scenario.totesys(MOVE, move, 7)
        assert fails_to_load(scenario).error == "WarehouseUnreachable"
    scenario.totesys(MOVE, moves[6], 7)

    recovered = scenario.run()

    load = recovered.output["load"]
    assert (load["first"], load["last"], load["inserted"]) == (2, 8, {"fact_sales_order": 7})
    assert scenario.star(PLACES_OF, 7) == [[place], *([move] for move in moves)]
    (told,) = scenario.mails
    assert ": Load failed with WarehouseUnreachable, " in told.subject


@fault("F54", "runs fail for a whole weekend, and then with another error", HOLD)
def test_f54_failure_that_goes_on_is_told_less_and_less(scenario: Scenario) -> None:
    scenario.totesys(MOVE, 1, 7)
    told = {}
    for hours in (0, 0.5, 1, 2, 24, 25, 25.5, 48, 49, 60):
        with later(timedelta(hours=hours)):
            told[hours] = fails_to_load(scenario).mails
    with later(timedelta(hours=60.1)), scenario.instead("ingest", throttled):
        other = scenario.run()

    assert [hours for hours, mails in told.items() if mails] == [0, 1, 25, 49]
    assert "\nNext e-mail  In 1 hour, if this failure persists" in told[0][0].message
    assert re.search(r": 3 failures since [\d-]+ [\d:]+ UTC: Load failed with WarehouseUnreach", told[1][0].subject)
    assert "\nNext e-mail  In 24 hours, if this failure persists" in told[1][0].message
    assert "Repeats      This is e-mail 2 about this failure" in told[1][0].message
    assert ": Ingest failed with Lambda.TooManyRequestsException, " in other.mails[0].subject
    assert "11 executions have failed" in other.mail
    with later(timedelta(hours=60.2)):
        assert scenario.run().succeeded
    # After a success, the same failure is the first one again.
    scenario.totesys(MOVE, 2, 7)
    with later(timedelta(hours=60.3)):
        assert ", " in fails_to_load(scenario).mails[0].subject
    with later(timedelta(hours=60.4)):
        scenario.run()


@fault("F54", "runs fail and are aborted by turns", HOLD)
def test_f54_failures_by_turns_are_told_once_each(scenario: Scenario) -> None:
    scenario.totesys(MOVE, 1, 7)
    ended = []
    for _ in range(3):
        ended.append(fails_to_load(scenario))
        with scenario.instead("transform", aborting(scenario)):
            scenario.totesys(MOVE, 1 + len(ended), 7)
            ended.append(scenario.run())

    assert [execution.status for execution in ended] == ["FAILED", "ABORTED"] * 3
    assert [len(execution.mails) for execution in ended] == [1, 1, 0, 0, 0, 0]
    assert scenario.run().succeeded


@fault("F54", "SNS refuses a failure's first e-mail", HOLD)
def test_f54_mail_that_could_not_be_sent_silences_none(scenario: Scenario) -> None:
    scenario.totesys(MOVE, 1, 7)
    with scenario.mute():
        unsent = fails_to_load(scenario)
    sent, repeated = fails_to_load(scenario), fails_to_load(scenario)

    assert [len(execution.mails) for execution in (unsent, sent, repeated)] == [0, 1, 0]
    assert scenario.run().succeeded


def fails_to_load(scenario: Scenario) -> Execution:
    """Runs an execution that finds no warehouse."""
    scenario.pipeline.put_secret("warehouse", scenario.pipeline.warehouse, LOADER, port=1)
    try:
        return scenario.run()
    finally:
        scenario.pipeline.put_secret("warehouse", scenario.pipeline.warehouse, LOADER)


def throttled(_name: str, _event: dict[str, Any]) -> InvokeResult:
    raise ServiceError("TooManyRequestsException", "Rate exceeded", 429)


@on("small_totesys")
@fault("F55", "the previous release runs Ingest and Transform, and this one runs Transform and Load", HEAL)
def test_f55_manifests_of_the_version_before_are_read(scenario: Scenario) -> None:
    def after_old_release(name: str, event: dict[str, Any]) -> InvokeResult:
        for bucket in (scenario.pipeline.landing_bucket, scenario.pipeline.processed_bucket):
            for batch in (1, 2):
                rewrite(scenario, bucket, batch, VERSION - 1)
        return scenario.switchboard.usual(name, event)

    with scenario.instead("transform", after_old_release), scenario.instead("load", after_old_release):
        scenario.run()
        change(scenario, 1, 7, "newer.json", 12)
        second = scenario.run()

    assert versions(scenario) == [VERSION - 1] * 4
    assert second.output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F55", "a manifest comes from a later release", HOLD)
@pytest.mark.parametrize(("zone", "step"), [("landing", "Ingest"), ("processed", "Transform")])
def test_f55_unknown_version_is_not_guessed(scenario: Scenario, zone: str, step: str) -> None:
    bucket = {"landing": scenario.pipeline.landing_bucket, "processed": scenario.pipeline.processed_bucket}[zone]
    rewrite(scenario, bucket, 1, VERSION + 1)
    change(scenario, 1, 7, "newer.json", 12)

    failed = scenario.run()

    assert failed.error == "VersionUnknown"
    assert f"{step}Failed" in failed.path
    assert f"s3://{bucket}/{entry(1)} is a manifest of version {VERSION + 1}" in failed.mail
    assert "Deploy the release that wrote it, or a later one." in failed.mail
    rewrite(scenario, bucket, 1, VERSION)
    assert scenario.run().output["load"]["inserted"] == {"fact_sales_order": 1}


def change(scenario: Scenario, design: int, order: int, name: str, place: int) -> None:
    scenario.totesys(RENAME, name, design)
    scenario.totesys(MOVE, place, order)


def of_2031(scenario: Scenario) -> tuple[int, int]:
    """Returns days and orders of 2031 in the warehouse, as its readers see it."""
    ((days, orders),) = scenario.star(
        "SELECT (SELECT count(*) FROM dim_date WHERE year = 2031), "
        "(SELECT count(*) FROM current_sales_order WHERE agreed_delivery_date >= '2031-01-01')"
    )
    return days, orders


def rewrite(scenario: Scenario, bucket: str, batch: int, version: int) -> None:
    """Gives a batch's manifest, if there is one, another version."""
    s3 = scenario.pipeline.s3
    if "Contents" in s3.list_objects_v2(Bucket=bucket, Prefix=entry(batch)):
        document = json.loads(s3.get_object(Bucket=bucket, Key=entry(batch))["Body"].read())
        body = json.dumps(document | {"version": version}, indent=1, ensure_ascii=False)
        s3.put_object(Bucket=bucket, Key=entry(batch), Body=body.encode())


def versions(scenario: Scenario) -> list[int]:
    """Returns the versions of the first two manifests of both zones."""
    bodies = [
        scenario.pipeline.s3.get_object(Bucket=bucket, Key=entry(batch))["Body"].read()
        for bucket in (scenario.pipeline.landing_bucket, scenario.pipeline.processed_bucket)
        for batch in (1, 2)
    ]
    return [json.loads(body)["version"] for body in bodies]
