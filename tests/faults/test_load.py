"""F45 to F50: the load of a batch, and the batch's content."""

import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pg8000.dbapi
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.lambda_runtime.runtime import InvokeResult
from tests.faults.scenario import HEAL, HOLD, Scenario, fault, on
from tests.support.injection import dying_at_statement, losing_acknowledgement
from tests.support.pipeline import Pipeline, physical_rows
from totes.lake.batch_log import entry
from totes.lake.bucket import Lake

STAMP = "TIMESTAMP '2024-11-18 09:30:00.123'"
NEW_DESIGN = (
    "INSERT INTO design (design_id, created_at, design_name, file_location, file_name, last_updated) "
    f"VALUES (%s, {STAMP}, %s, '/srv', 'granite.json', {STAMP})"
)
LARGEST = 2**31 - 1


@fault(
    "F45",
    "a batch holds the same key twice",
    HOLD,
    because="a snapshot shows one version of a key, so two of them are damage, and nothing shows which is right",
    nearest="a processed object and its manifest are rewritten: totesys' primary keys allow no such batch",
)
@pytest.mark.parametrize(("source", "table"), [("sales_order", "fact_sales_order"), ("design", "dim_design")])
def test_f45_repeated_key_is_refused(scenario: Scenario, source: str, table: str, tmp_path: Path) -> None:
    scenario.totesys(f"UPDATE {source} SET last_updated = {STAMP} WHERE {source}_id = 7")
    scenario.totesys(NEW_DESIGN, 90_001, "Granite")
    scenario.pipeline.ingest()
    scenario.pipeline.transform()
    manifest = repeat_first_row(scenario.pipeline, table, tmp_path)

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert f"{table} breaks the rule `{source}_id` (Each row has one of its own): 7." in failed.mail
    scenario.pipeline.s3.put_object(Bucket=scenario.pipeline.processed_bucket, Key=entry(2), Body=manifest)
    assert scenario.run().output["load"]["loaded_through"] == 2


@fault("F46", "the load dies at every statement in turn", HEAL)
def test_f46_batch_is_loaded_whole_or_not_at_all(scenario: Scenario) -> None:
    change(scenario)
    before, halves, deaths = physical_rows(scenario.pipeline), [], []

    def die_again_and_again(name: str, event: dict[str, Any]) -> InvokeResult:
        for number in itertools.count(1):
            with dying_at_statement(number, may_miss=True) as countdown:
                answer = scenario.switchboard.usual(name, event)
            if countdown.left > 0:
                return answer
            deaths.append(answer.payload["errorType"])
            if physical_rows(scenario.pipeline) != before:
                halves.append(number)
        raise AssertionError

    with scenario.instead("load", die_again_and_again):
        healed = scenario.run()

    assert halves == []
    assert len(deaths) > 20
    assert set(deaths) == {"Runtime.ExitError"}
    assert healed.output["load"]["inserted"] == {"dim_design": 1, "fact_sales_order": 1}


@fault("F47", "a batch is committed, and the acknowledgement is lost", HEAL)
def test_f47_retry_finds_the_batch_loaded(scenario: Scenario) -> None:
    change(scenario)

    with losing_acknowledgement(after="batch (batch_id, snapshot_at") as lost:
        healed = scenario.run()

    assert len(lost) == 2
    assert healed.retried == ["WarehouseUnreachable"]
    assert (healed.output["load"]["batches"], healed.output["load"]["loaded_through"]) == (0, 2)
    assert scenario.star("SELECT count(*) FROM sales_order_history WHERE batch_id = 2 AND NOT deleted") == [[1]]


@fault("F48", "an order and its new design come in one batch", HEAL)
def test_f48_dimension_is_loaded_before_its_fact(scenario: Scenario) -> None:
    scenario.totesys(NEW_DESIGN, 90_001, "Granite")
    scenario.totesys("UPDATE sales_order SET design_id = 90001 WHERE sales_order_id = 7")

    scenario.run()

    assert scenario.star("SELECT design_id FROM current_sales_order WHERE sales_order_id = 7") == [[90_001]]


@fault("F48", "the warehouse has lost an order's design", HOLD)
def test_f48_what_refers_to_nothing_is_named(scenario: Scenario) -> None:
    scenario.totesys(NEW_DESIGN, 90_001, "Granite")
    scenario.run()
    (lost,) = scenario.star("DELETE FROM dim_design WHERE design_id = 90001 RETURNING *")
    scenario.totesys("UPDATE sales_order SET design_id = 90001 WHERE sales_order_id IN (7, 9)")

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert "fact_sales_order breaks the rule `design_id` " in failed.mail
    assert "is in dim_design, which lacks 90001): 7, 9." in failed.mail
    scenario.star(f"INSERT INTO dim_design VALUES ({', '.join(['%s'] * len(lost))})", *lost)
    scenario.run()


PARENTS = {
    "department": ("department SET department_name = 'Renamed'", "dim_staff WHERE department_name = 'Renamed'"),
    "address of a counterparty": (
        "address SET city = 'Renamed' WHERE address_id IN (SELECT legal_address_id FROM counterparty)",
        "dim_counterparty WHERE counterparty_legal_city = 'Renamed'",
    ),
}


@fault("F49", "a department is renamed or an address changes, but no row of staff or counterparty does", HEAL)
@pytest.mark.parametrize(("change", "seen"), PARENTS.values(), ids=PARENTS)
def test_f49_rows_that_are_joined_with_the_change_come_again(scenario: Scenario, change: str, seen: str) -> None:
    scenario.totesys(f"UPDATE {change}")
    scenario.run()

    assert scenario.star(f"SELECT count(*) FROM {seen}") == [[20]]


@fault("F49", "a currency's code changes", HEAL)
def test_f49_currency_has_its_new_name(scenario: Scenario) -> None:
    scenario.totesys("UPDATE currency SET currency_code = 'JPY' WHERE currency_id = 1")
    scenario.run()

    assert scenario.star("SELECT currency_code, currency_name FROM dim_currency WHERE currency_id = 1") == [
        ["JPY", "Yen"]
    ]


TEXTS = [
    *(
        "",
        " ",
        "\n",
        "\r\n",
        "\r",
        "\t",
        '"',
        '""',
        "'",
        ",",
        '","',
        "\\",
        "\\.",
        "\\N",
        "a\n\\.\nb",
        'O\'Neill, "Jo"\n',
    ),
    *("NaN", "nan", "NULL", "None", "null", "N/A", "t", "-0", "1e5", "007", "+1", "2024-01-01", "%s", ":x", "{}"),
    *("👜", "e\u0301", "é", "\ufeff", "\u2028", "\u0085", "\x01", "\x1a", "\x7f", "\U0010ffff", "ß" * 100_000),
]


@fault("F50", "texts hold quotes, newlines, emoji, NaN and NULL", HEAL)
def test_f50_every_text_is_the_same_in_the_warehouse(scenario: Scenario) -> None:
    for number, text in enumerate(TEXTS, start=90_000):
        scenario.totesys(NEW_DESIGN, number, text)

    scenario.run()

    arrived = scenario.star("SELECT design_name FROM dim_design WHERE design_id >= 90000 ORDER BY design_id")
    assert [text for (text,) in arrived] == TEXTS


@on("small_totesys")
@fault("F50", "one text is empty, another is NULL", HEAL)
def test_f50_empty_text_is_not_null(scenario: Scenario) -> None:
    scenario.totesys("UPDATE address SET address_line_2 = '', district = NULL WHERE address_id = 1")
    scenario.totesys("UPDATE address SET address_line_2 = NULL, district = '' WHERE address_id = 2")

    scenario.run()

    query = "SELECT address_line_2, district FROM dim_location WHERE location_id IN (1, 2) ORDER BY location_id"
    assert scenario.star(query) == [["", None], [None, ""]]


@fault(
    "F50",
    "numbers are as large as their types allow, and some integers are NULL",
    HEAL,
    nearest="integers up to 2^31 - 1 and numeric(10,2), because totesys has no larger types",
)
def test_f50_every_number_is_the_same_in_the_warehouse(scenario: Scenario) -> None:
    scenario.totesys(
        "UPDATE sales_order SET units_sold = %s, unit_price = 99999999.99 WHERE sales_order_id = 7", LARGEST
    )
    scenario.totesys(
        "UPDATE sales_order SET units_sold = %s, unit_price = -0.01 WHERE sales_order_id = 8", -LARGEST - 1
    )
    scenario.totesys("UPDATE sales_order SET sales_order_id = %s WHERE sales_order_id = 9", LARGEST)

    scenario.run()

    numbers = "SELECT units_sold, unit_price FROM current_sales_order WHERE sales_order_id IN (7, 8) ORDER BY 1 DESC"
    assert scenario.star(numbers) == [[LARGEST, Decimal("99999999.99")], [-LARGEST - 1, Decimal("-0.01")]]
    beside = "SELECT purchase_order_id FROM dim_transaction WHERE sales_order_id = %s"
    assert scenario.star(beside, LARGEST) == [[None]]


@on("small_totesys")
@fault("F50", "a text holds a zero byte", HEAL, nearest="PostgreSQL refuses to store one, so totesys can't hold it")
def test_f50_zero_byte_can_not_be_in_totesys(scenario: Scenario) -> None:
    with pytest.raises(pg8000.dbapi.DatabaseError, match="invalid byte sequence"):
        scenario.totesys(NEW_DESIGN, 90_001, "a\0b")
    scenario.run()


def change(scenario: Scenario) -> None:
    """Makes changes of each kind: an amendment, a new row, a deletion."""
    scenario.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 7")
    scenario.totesys(NEW_DESIGN, 90_001, "Granite")
    scenario.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")


def repeat_first_row(pipeline: Pipeline, table: str, folder: Path) -> bytes:
    """Makes the last processed batch hold the first row of a table twice; returns its manifest as it was."""
    log, lake, key = pipeline.processed(), Lake(pipeline.processed_bucket), entry(pipeline.processed().last())
    before = lake.read(key)
    assert before is not None
    stored = log.read(log.last()).tables[table]["data"]
    rows = pq.read_table(lake.fetch(stored, folder / "before"))
    pq.write_table(pa.concat_tables([rows, rows.slice(0, 1)]), folder / "after")
    document = json.loads(before)
    document["tables"][table]["data"] = lake.add(folder / "after", "tampered", stored.rows + 1).as_json()
    pipeline.s3.put_object(Bucket=pipeline.processed_bucket, Key=key, Body=json.dumps(document).encode())
    return before
