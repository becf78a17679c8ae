from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.render.summary import describe_end, describe_running
from totes.alerts.executions import Execution, StateRun

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
INTRODUCTION = "Execution one SUCCEEDED. It started at 2026-11-24 09:00:00 UTC and took 4.6 s. "
LANDED = {"batch": 7, "rows": {"staff": 1, "sales_order": 1200}, "deleted": {}, "warnings": []}
NOTHING_LANDED = LANDED | {"batch": None, "rows": {}}
PROCESSED = {"first": 7, "last": 7, "batches": 1, "rows": {"dim_staff": 1, "dim_date": 365}}
LOADED = {
    "first": 7,
    "last": 7,
    "batches": 1,
    "inserted": {"fact_sales_order": 1200},
    "updated": {"dim_staff": 1},
    "tombstones": {},
}
NOTHING_LOADED = {"first": None, "last": None, "batches": 0, "inserted": {}, "updated": {}, "tombstones": {}}


def execution(output: dict[str, Any], *states: StateRun) -> Execution:
    return Execution("arn", "one", "SUCCEEDED", START, START + timedelta(seconds=4.6), output=output, states=states)


@pytest.mark.parametrize(
    ("output", "paragraph"),
    [
        pytest.param(
            {"ingest": LANDED, "transform": PROCESSED, "load": LOADED},
            "Ingest landed batch 7: 1,201 rows in 2 tables. Transform made 1 row in 1 table from batch 7. "
            "Load wrote batch 7 to the warehouse: 1,200 added, 1 updated.",
            id="all three",
        ),
        pytest.param(
            {"ingest": NOTHING_LANDED, "load": NOTHING_LOADED},
            "Ingest found nothing new in totesys. The warehouse was up to date, so Load wrote no row.",
            id="nothing new",
        ),
        pytest.param(
            {"ingest": NOTHING_LANDED, "load": LOADED | {"first": 5}},
            "Ingest found nothing new in totesys. Load wrote batches 5 to 7 to the warehouse: 1,200 added, 1 updated.",
            id="catch-up",
        ),
        pytest.param(
            {
                "ingest": LANDED | {"rows": {"transaction": 1}, "deleted": {"sales_order": 2}},
                "load": LOADED | {"inserted": {}, "updated": {}, "tombstones": {"fact_sales_order": 2}},
            },
            "Ingest landed batch 7: 1 row in 1 table, and 2 deleted. "
            "Load wrote batch 7 to the warehouse: 2 marked as deleted.",
            id="deletion",
        ),
        pytest.param(
            {"ingest": LANDED, "load": LOADED | {"inserted": {}, "updated": {}}},
            "Ingest landed batch 7: 1,201 rows in 2 tables. Load wrote batch 7 to the warehouse: no row differed.",
            id="rows that are there already",
        ),
        pytest.param(
            {"ingest": NOTHING_LANDED | {"warnings": ["staff has 2 rows aside"]}, "load": NOTHING_LOADED},
            "Ingest found nothing new in totesys. The warehouse was up to date, so Load wrote no row. "
            "Warning: staff has 2 rows aside.",
            id="warning",
        ),
    ],
)
def test_success_is_told_in_one_paragraph(output: dict[str, Any], paragraph: str) -> None:
    assert describe_end(execution(output)) == INTRODUCTION + paragraph


def test_retries_of_a_success_are_told() -> None:
    states = (StateRun("Ingest", START, START, attempts=1), StateRun("Load", START, START, attempts=3))
    paragraph = describe_end(execution({"ingest": NOTHING_LANDED, "load": NOTHING_LOADED}, *states))
    assert paragraph.endswith("so Load wrote no row. Load took 3 attempts.")


def test_running_execution_is_told_with_where_it_is() -> None:
    states = (StateRun("Ingest", START, START), StateRun("Load", START, attempts=2, error="WarehouseBusy"))
    running = Execution("arn", "one", "RUNNING", START, None, states=states)
    assert describe_running(running, START + timedelta(seconds=42)) == (
        "Execution one has been running for 42.0 s. It has been in Load for 42.0 s, by attempt 2. The attempt before "
        "failed with WarehouseBusy. Follow its log with `totes logs one --follow`."
    )


def test_execution_that_has_just_begun_is_told_too() -> None:
    running = Execution("arn", "one", "RUNNING", START, None)
    assert describe_running(running, START + timedelta(seconds=0.5)) == (
        "Execution one has been running for 500 ms. Follow its log with `totes logs one --follow`."
    )
