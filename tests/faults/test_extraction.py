"""F01 to F13: every value that totesys can hold, written at any moment."""

import io
import time
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from local.stack import Stack
from tests.conftest import MakesPipelines
from tests.faults.scenario import HEAL, HOLD, NOOP, WARN, Scenario, fault, on
from tests.support.injection import at_key, at_statement, die, dying_at_row
from tests.support.pipeline import Pipeline
from totes.contracts.declarations import source_tables, warehouse_tables

AMENDED = "UPDATE sales_order SET units_sold = %s WHERE sales_order_id = %s"
STAMP = "TIMESTAMP '2024-11-18 09:30:00.123'"
NEW_DESIGN = (
    "INSERT INTO design (design_id, created_at, design_name, file_location, file_name, last_updated) "
    f"VALUES (%s, {STAMP}, 'Granite', '/srv', 'granite.json', {STAMP})"
)


@fault("F01", "a row is stamped before the read and committed after it", HEAL)
@pytest.mark.parametrize("first", ["SELECT 1", "SAVEPOINT one"], ids=["plain", "in a savepoint"])
def test_f01_late_commit_is_in_the_next_run(scenario: Scenario, first: str) -> None:
    with scenario.session() as early:
        early.cursor().execute(first)
        early.cursor().execute(AMENDED, (4_242, 7))
        scenario.totesys(AMENDED, 4_242, 8)  # begins later, commits first
        scenario.run()
        assert amended_orders(scenario) == [8]
        early.commit()

    late = scenario.run()

    assert amended_orders(scenario) == [7, 8]
    assert late.output["ingest"]["rows"] == {"sales_order": 2}  # the other row is read again and adds no version
    assert late.output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F02", "5,000 rows have the same last_updated, and the reader is killed half way", HEAL)
def test_f02_tie_group_comes_whole_and_once(scenario: Scenario) -> None:
    scenario.totesys(
        "INSERT INTO sales_order (created_at, last_updated, design_id, staff_id, counterparty_id, units_sold, "
        "unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id) "
        f"SELECT {STAMP}, {STAMP}, 1, 1, 1, number, 2.5, 1, '2024-11-20', '2024-11-21', 1 "
        "FROM generate_series(1, 5000) AS number"
    )

    with dying_at_row(2_500):
        healed = scenario.run()

    assert healed.retried == ["Runtime.ExitError"]
    assert healed.output["load"]["inserted"] == {"fact_sales_order": 5_000}


@fault("F03", "a transaction commits between the count and the read", HEAL)
def test_f03_count_and_read_see_the_same_snapshot(scenario: Scenario) -> None:
    scenario.totesys("UPDATE design SET file_name = 'early.json' WHERE design_id = 1")

    with at_statement(
        'COPY (SELECT "design"',
        lambda: scenario.totesys("UPDATE design SET file_name = 'late.json' WHERE design_id = 2"),
    ) as between:
        first = scenario.run()
    second = scenario.run()

    assert len(between) == 1
    assert first.output["ingest"]["rows"] == second.output["ingest"]["rows"] == {"design": 1}


@fault(
    "F04",
    "two rows 1 µs apart straddle the bookmark",
    HEAL,
    nearest="rows 1 ms apart in either order, and with equal timestamps, because totesys' timestamps have three digits",
)
@pytest.mark.parametrize(("before", "after"), [("123", "124"), ("124", "123"), ("123", "123")])
def test_f04_neighbours_on_both_sides_are_loaded(scenario: Scenario, before: str, after: str) -> None:
    pay = "UPDATE payment SET paid = NOT paid, last_updated = '2024-11-18 09:30:00.{}' WHERE payment_id = {}"

    scenario.totesys(pay.format(before, 1))
    scenario.run()
    scenario.totesys(pay.format(after, 2))
    scenario.run()

    query = "SELECT CAST(last_updated_time AS text) FROM current_payment WHERE payment_id IN (1, 2) ORDER BY payment_id"
    assert scenario.star(query) == [[f"09:30:00.{before}"], [f"09:30:00.{after}"]]


@fault("F05", "a contracted NOT NULL column is NULL", HOLD)
def test_f05_nulls_are_named_with_their_keys(scenario: Scenario) -> None:
    scenario.totesys("ALTER TABLE staff ALTER first_name DROP NOT NULL")
    scenario.totesys("UPDATE staff SET first_name = NULL WHERE staff_id <= 7")

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    named = "; ".join(f"staff {key}: first_name is NULL, expected a value" for key in range(1, 6))
    assert f"{named}; and 2 more" in failed.mail
    scenario.totesys("UPDATE staff SET first_name = 'Jo' WHERE staff_id <= 7")
    scenario.run()


@fault("F06", "one row dated 2099", WARN)
def test_f06_row_of_the_future_hides_no_later_row(scenario: Scenario) -> None:
    scenario.totesys("UPDATE sales_order SET last_updated = '2099-01-01' WHERE sales_order_id = 7")
    odd = scenario.run()
    scenario.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 8")
    later = scenario.run()

    assert odd.output["load"]["inserted"] == {"fact_sales_order": 1, "dim_date": 365}
    assert later.output["load"]["inserted"] == {"fact_sales_order": 1}
    assert "2099" in " ".join(odd.warnings)


HOUR_THAT_COMES_TWICE = """
UPDATE sales_order SET created_at = moment, last_updated = moment
FROM (VALUES
    (1, TIMESTAMP '2024-10-27 00:30'), (2, TIMESTAMP '2024-10-27 01:30'), (3, TIMESTAMP '2024-10-27 01:30'),
    (4, TIMESTAMP '2024-03-31 01:30'), (5, TIMESTAMP '2024-12-31 23:59:59.999')
) AS stamped (id, moment)
WHERE sales_order_id = id
"""


@pytest.fixture(scope="module")
def bytes_in_utc(stack: Stack, stacked_pipelines: MakesPipelines, small_totesys: str) -> set[str]:
    """Returns the processed data of the same rows, made in UTC."""
    with stacked_pipelines(small_totesys) as pipeline:
        pipeline.totesys(HOUR_THAT_COMES_TWICE)
        pipeline.run()
        return processed_data(pipeline)


@pytest.fixture
def zone(request: pytest.FixtureRequest, scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Sets another time zone and another way to write dates, for both databases and for this process."""
    name: str = request.param
    for database in (scenario.pipeline.source, scenario.pipeline.warehouse):
        scenario.pipeline.postgres.execute(f"ALTER DATABASE {database} SET TimeZone = '{name}'")
        scenario.pipeline.postgres.execute(f"ALTER DATABASE {database} SET DateStyle = 'SQL, DMY'")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield name
    time.tzset()


@on("small_totesys")
@fault("F07", "sessions and functions use another time zone, and an hour comes twice", HEAL)
@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York", "Asia/Kolkata"], indirect=True)
def test_f07_every_zone_makes_the_same_bytes(scenario: Scenario, zone: str, bytes_in_utc: set[str]) -> None:
    assert scenario.totesys("SHOW TimeZone") == [[zone]]
    scenario.totesys(HOUR_THAT_COMES_TWICE)

    scenario.run()

    assert processed_data(scenario.pipeline) == bytes_in_utc


@fault("F08", "an UPDATE leaves last_updated alone", HEAL)
def test_f08_silent_update_is_a_second_version(scenario: Scenario) -> None:
    scenario.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 77")
    scenario.run()

    versions = scenario.star(
        "SELECT last_updated_date, last_updated_time, units_sold FROM sales_order_history "
        "WHERE sales_order_id = 77 ORDER BY version"
    )
    (*stamp, units), (*stamp_after, units_after) = versions
    assert stamp == stamp_after
    assert units_after == units + 1


@fault("F09", "a row of a fact is deleted in totesys", HEAL)
def test_f09_deleted_order_leaves_a_tombstone(scenario: Scenario) -> None:
    scenario.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")
    deleting = scenario.run()

    assert deleting.output["load"]["tombstones"] == {"fact_sales_order": 1}
    assert scenario.star("SELECT count(*) FROM current_sales_order WHERE sales_order_id = 55") == [[0]]
    assert scenario.star("SELECT version, deleted FROM sales_order_history WHERE sales_order_id = 55") == [[1, True]]


@fault("F09", "the deleted row comes back", HEAL)
def test_f09_order_that_comes_back_is_a_new_version(scenario: Scenario) -> None:
    (order,) = scenario.totesys("DELETE FROM sales_order WHERE sales_order_id = 55 RETURNING *")
    scenario.run()

    scenario.totesys(f"INSERT INTO sales_order VALUES ({', '.join(['%s'] * len(order))})", *order)
    scenario.run()

    versions = scenario.star(
        "SELECT version, deleted FROM sales_order_history WHERE sales_order_id = 55 ORDER BY version"
    )
    assert versions == [[1, True], [2, False]]


@fault("F09", "a row of a dimension is deleted", HEAL)
def test_f09_deleted_design_stays_for_its_history(scenario: Scenario) -> None:
    scenario.totesys(NEW_DESIGN, 90_001)
    scenario.run()

    scenario.totesys("DELETE FROM design WHERE design_id = 90001")
    scenario.run()

    assert new_designs(scenario) == [90_001]
    tombstones = scenario.star("SELECT table_name, batch_id FROM etl.tombstone WHERE business_id = 90001")
    assert tombstones == [["dim_design", 3]]


@fault("F10", "nothing new", NOOP)
def test_f10_nothing_new_writes_nothing(scenario: Scenario) -> None:
    idle = scenario.run()

    assert idle.path == ["Ingest", "NewData?", "Load", "MoreToDo?", "AnythingLoaded?", "NothingNew"]
    assert idle.output["ingest"]["batch"] is None


@on("empty_totesys")
@fault("F11", "the first run finds no rows at all", HEAL)
def test_f11_empty_source_makes_an_empty_warehouse(scenario: Scenario) -> None:
    first = scenario.run()

    assert (first.output["ingest"]["batch"], first.output["ingest"]["rows"]) == (1, {})
    for name, table in source_tables().items():
        assert landed_columns(scenario.pipeline, name) == [column.name for column in table.columns]
    for name in warehouse_tables():
        assert scenario.star(f"SELECT count(*) FROM {name}") == [[0]]
    scenario.totesys(NEW_DESIGN, 90_001)
    scenario.run()
    assert new_designs(scenario) == [90_001]


SEVENTH = list(source_tables())[6]


@on("small_totesys")
@fault("F12", "the first run dies after 6 of 11 tables", HOLD)
def test_f12_first_run_that_dies_while_it_reads_leaves_nothing(scenario: Scenario) -> None:
    with at_statement(f'COPY (SELECT "{SEVENTH}"', die, times=2):
        failed = scenario.run()

    assert (failed.error, failed.retried) == ("Runtime.ExitError", ["Runtime.ExitError"])
    assert scenario.run().output["ingest"]["rows"].keys() == source_tables().keys()


@on("small_totesys")
@fault("F12", "the first run dies after 6 of 11 objects", HOLD)
def test_f12_orphans_of_a_first_run_that_died_are_ignored(scenario: Scenario) -> None:
    with at_key(f"data/{SEVENTH}/", die, times=2):
        failed = scenario.run()

    assert any(f"data/{table}/" in key for key in failed.after.objects for table in list(source_tables())[:6])
    assert scenario.pipeline.landed().last() == 0
    assert scenario.run().output["load"]["inserted"].keys() == warehouse_tables().keys()


UNTRUE = {
    "infinity": ("payment", 7, "last_updated", "'infinity'", "'infinity', expected a value of type timestamp(3)"),
    "BC": ("payment", 7, "created_at", "'0044-03-15 BC'", "'0044-03-15 00:00:00 BC', expected a value of type"),
    "year 12000": ("design", 7, "created_at", "'12000-01-01'", "'12000-01-01 00:00:00', expected a value of type"),
    "NaN": ("payment", 7, "payment_amount", "'NaN'", "'NaN', expected a value of type numeric(10,2)"),
    "year 12000 as text": ("payment", 7, "payment_date", "'12000-01-01'", "'12000-01-01', expected a date"),
    "infinity as text": ("payment", 7, "payment_date", "'infinity'", "'infinity', expected a date"),
    "24:00": ("payment", 7, "payment_date", "'2024-11-18 24:00'", "'2024-11-18 24:00', expected a date"),
}


@fault(
    "F13",
    "a value is infinity, BC, the year 12000, 24:00 or NaN",
    HOLD,
    nearest="24:00 in a date that is text, because PostgreSQL turns a timestamp's 24:00 into 00:00 of the next day",
)
@pytest.mark.parametrize(("table", "key", "column", "value", "found"), UNTRUE.values(), ids=UNTRUE)
def test_f13_what_is_no_value_is_named(
    scenario: Scenario, table: str, key: int, column: str, value: str, found: str
) -> None:
    ((right,),) = scenario.totesys(f"SELECT CAST({column} AS text) FROM {table} WHERE {table}_id = {key}")
    scenario.totesys(f"UPDATE {table} SET {column} = {value} WHERE {table}_id = {key}")

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert f"{table} {key}: {column} is {found}" in failed.mail
    scenario.totesys(f"UPDATE {table} SET {column} = '{right}' WHERE {table}_id = {key}")
    scenario.run()


def amended_orders(scenario: Scenario) -> list[int]:
    query = "SELECT sales_order_id FROM current_sales_order WHERE units_sold = 4242 ORDER BY 1"
    return [key for (key,) in scenario.star(query)]


def new_designs(scenario: Scenario) -> list[int]:
    return [key for (key,) in scenario.star("SELECT design_id FROM dim_design WHERE design_id > 90000 ORDER BY 1")]


def processed_data(pipeline: Pipeline) -> set[str]:
    """Returns keys and digests of the processed rows; only the buckets differ from pipeline to pipeline."""
    objects = pipeline.objects(pipeline.processed_bucket)
    return {item.partition("/")[2] for item in objects if "/data/" in item}


def landed_columns(pipeline: Pipeline, table: str) -> list[str]:
    key = pipeline.landed().read(1).tables[table]["data"].key
    body = pipeline.s3.get_object(Bucket=pipeline.landing_bucket, Key=key)["Body"].read()
    names: list[str] = pq.read_schema(io.BytesIO(body)).names
    return names
