"""Rows are deleted, written again, or both between two runs, in every order, step by step and by replay."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.support.pipeline import Pipeline
from tests.support.reconciliation import reconcile
from tests.support.replays import swap, verify

STAMP = "TIMESTAMP '2024-11-18 09:30:00.123'"
# The changes to a row between two runs. It is written again as it was, or with another value.
ALIVE = {"-": "", "D": "D", "D+same": "DS", "D+other": "DO"}
GONE = {"-": "", "same": "S", "other": "O"}
STEPS = 4
FIRST_ID, BEGIN = 90_001, 2
Version = tuple[int, int, int | None, bool, int]


def sequences(steps: int, alive: bool = True) -> Iterator[tuple[str, ...]]:
    """Yields every order of events."""
    if not steps:
        yield ()
        return
    for name in ALIVE if alive else GONE:
        there = alive if name == "-" else name != "D"
        for rest in sequences(steps - 1, there):
            yield (name, *rest)


ROWS = dict(enumerate(sequences(STEPS), start=FIRST_ID))


def order(key: int, value: int) -> str:
    return (
        "INSERT INTO sales_order (sales_order_id, created_at, last_updated, design_id, staff_id, counterparty_id, "
        "units_sold, unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id) "
        f"VALUES ({key}, {STAMP}, {STAMP}, 1, 1, 1, {value}, 2.5, 1, '2024-11-20', '2024-11-21', 1)"
    )


def design(key: int, value: int) -> str:
    return (
        "INSERT INTO design (design_id, created_at, design_name, file_location, file_name, last_updated) "
        f"VALUES ({key}, {STAMP}, 'Granite', '/srv', '{value}', {STAMP})"
    )


def write(pipeline: Pipeline, statements: Sequence[str]) -> None:
    with pipeline.connection(pipeline.source) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def live_through(pipeline: Pipeline) -> None:
    """Writes an order and a design for each sequence, and runs after each step."""
    values = dict.fromkeys(ROWS, 1)
    write(pipeline, [make(key, 1) for key in ROWS for make in (order, design)])
    pipeline.run()
    for step in range(STEPS):
        statements = []
        for key, events in ROWS.items():
            for event in (ALIVE | GONE)[events[step]]:
                if event == "D":
                    statements += [
                        f"DELETE FROM {table} WHERE {table}_id = {key}" for table in ("sales_order", "design")
                    ]
                else:
                    values[key] += event == "O"
                    statements += [order(key, values[key]), design(key, values[key])]
        write(pipeline, statements)
        assert pipeline.run()[2].last == BEGIN + step + 1


def versions(events: Sequence[str]) -> list[Version]:
    """Returns version, batch, the batch that ended it, whether it was deleted, and its value."""
    found: list[Version] = [(1, BEGIN, None, False, 1)]
    for batch, event in enumerate(events, start=BEGIN + 1):
        number, came, _, _, value = found[-1]
        if event in ("D", "D+other"):
            found[-1] = (number, came, batch, event == "D", value)
        if event in ("same", "other", "D+other"):
            found.append((number + 1, batch, None, False, value + (event != "same")))
    return found


def tombstones(events: Sequence[str]) -> list[tuple[int, int | None]]:
    """Returns the batch that noticed each deletion, and the batch that brought the row back."""
    found: list[tuple[int, int | None]] = []
    for batch, event in enumerate(events, start=BEGIN + 1):
        if event == "D":
            found.append((batch, None))
        if event in ("same", "other"):
            found[-1] = (found[-1][0], batch)
    return found


def as_of(events: Sequence[str], batch: int) -> list[int]:
    """Returns the row's value at a moment, if it was there."""
    return [value for _, came, ended, _, value in versions(events) if came <= batch and (ended or 99) > batch]


def require_history(pipeline: Pipeline) -> None:
    found = pipeline.star(
        "SELECT sales_order_id, version, history.batch_id, went.batch_id, deleted, units_sold "
        "FROM sales_order_history AS history LEFT JOIN etl.batch AS went ON went.snapshot_at = valid_to "
        "WHERE sales_order_id >= %s ORDER BY 1, 2",
        FIRST_ID,
    )
    assert found == [[key, *version] for key, events in ROWS.items() for version in versions(events)]
    for batch in range(BEGIN, BEGIN + STEPS + 1):
        found = pipeline.star(
            "SELECT sales_order_id, units_sold FROM sales_order_as_of(CAST(%s AS integer)) "
            "WHERE sales_order_id >= %s ORDER BY 1",
            batch,
            FIRST_ID,
        )
        assert found == [[key, value] for key, events in ROWS.items() for value in as_of(events, batch)]
    assert pipeline.star(
        "SELECT sales_order_id, units_sold FROM current_sales_order WHERE sales_order_id >= %s ORDER BY 1", FIRST_ID
    ) == [[key, value] for key, events in ROWS.items() for value in as_of(events, BEGIN + STEPS)]
    assert all(
        row == [True] for row in pipeline.star("SELECT coalesce(valid_to > valid_from, true) FROM payment_history")
    )


def require_tombstones(pipeline: Pipeline) -> None:
    found = pipeline.star(
        "SELECT business_id, batch_id, ended_batch_id FROM etl.tombstone WHERE table_name = 'dim_design' ORDER BY 1, 2"
    )
    assert found == [[key, *stone] for key, events in ROWS.items() for stone in tombstones(events)]
    deleted = pipeline.star(
        "SELECT business_id FROM etl.tombstone WHERE table_name = 'dim_design' AND ended_batch_id IS NULL ORDER BY 1"
    )
    there = {key for (key,) in pipeline.totesys("SELECT design_id FROM design")}
    assert deleted == [[key] for key in ROWS if key not in there]


def test_history_is_right_in_every_order_of_events(small: Pipeline) -> None:
    live_through(small)
    require_history(small)
    require_tombstones(small)
    assert reconcile(small, "fact_sales_order", "dim_design").agrees
    assert verify(small).agrees
    small.drop_warehouse()
    assert small.load().last == BEGIN + STEPS
    require_history(small)
    require_tombstones(small)
    assert reconcile(small, "fact_sales_order", "dim_design").agrees


def gone_and_back(pipeline: Pipeline, *keys: int) -> None:
    """Writes designs, deletes them (batch 3) and writes them again (batch 4)."""
    for statements in (
        [design(key, 1) for key in keys],
        [f"DELETE FROM design WHERE design_id = {key}" for key in keys],
        [design(key, 1) for key in keys],
    ):
        write(pipeline, statements)
        pipeline.run()


def stones(pipeline: Pipeline) -> list[list[Any]]:
    return pipeline.star("SELECT business_id, batch_id, ended_batch_id FROM etl.tombstone ORDER BY 1, 2")


def test_returned_row_that_is_lost_is_missing(small: Pipeline) -> None:
    gone_and_back(small, 90_001)
    write(small, ["DELETE FROM design WHERE design_id = 90001"])
    small.run()
    assert reconcile(small, "dim_design").tables[0].kept.first == [90_001]
    small.star("DELETE FROM etl.tombstone WHERE batch_id = 5")
    (table,) = reconcile(small, "dim_design").tables
    assert (table.kept.first, table.extra.first) == ([], [90_001])


@pytest.fixture
def older(small: Pipeline) -> Pipeline:
    """Yields a warehouse of schema version 2: the designs 90001 to 90003 came back, 90004 was deleted and did not."""
    gone_and_back(small, 90_001, 90_002, 90_003)
    write(small, ["UPDATE sales_order SET design_id = 90001 WHERE sales_order_id = 7", design(90_004, 1)])
    small.run()
    write(small, ["DELETE FROM design WHERE design_id IN (90002, 90004)"])
    small.run()
    small.star("ALTER TABLE etl.tombstone DROP COLUMN ended_batch_id")
    small.star("DELETE FROM etl.schema_version WHERE version > 2")
    return small


def test_migration_ends_tombstones_of_returned_rows(older: Pipeline) -> None:
    older.load()
    # An order of a later batch refers to 90001; 90002 was deleted again. About 90003 the warehouse can't know.
    ended = [[90_001, 3, 4], [90_002, 3, 4], [90_002, 6, None], [90_003, 3, None], [90_004, 6, None]]
    assert stones(older) == ended
    assert [(table.table, table.differing.rows) for table in swap(older).tables if not table.agrees] == [
        ("etl.tombstone", 1)
    ]
    assert stones(older)[3] == [90_003, 3, 4]
    assert verify(older).agrees
