from collections.abc import Iterator

import pytest

from tests.support.pipeline import Pipeline
from totes.postgres.connection import WAREHOUSE, connected
from totes.postgres.driver import PipelineConnection
from totes.verify.replay.replay import SHADOW
from totes.warehouse import schema
from totes.warehouse.record_ids import RecordIdsGiven, advance_sequence
from totes.warehouse.warehouse import Warehouse

NEXT = "SELECT nextval('{}.fact_payment_payment_record_id_seq')"


@pytest.fixture
def beside(star: PipelineConnection, pipeline: Pipeline) -> Iterator[PipelineConnection]:
    """Yields a connection to an empty replay beside the warehouse of `star`."""
    with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-test") as connection:
        schema.migrate(Warehouse(connection, SHADOW))
        yield connection


def log(star: PipelineConnection, *ranges: tuple[int, int, int, int]) -> RecordIdsGiven:
    """Returns the log's rows about payments that came in this order: batch, rows, first and last record id."""
    for batch, rows, first, last in ranges:
        star.execute(f"INSERT INTO etl.batch VALUES ({batch}, now(), now(), '')")
        star.execute(
            f"INSERT INTO etl.batch_table VALUES ({batch}, 'fact_payment', {rows}, {rows}, 0, 0, {first}, {last})"
        )
    return RecordIdsGiven(Warehouse(star))


def first_id(given: RecordIdsGiven, beside: PipelineConnection, batch: int) -> int:
    given.repeat(Warehouse(beside, SHADOW), batch)
    return int(beside.execute(NEXT.format("replay")).scalar() or 0)


def test_batch_begins_where_it_began(star: PipelineConnection, beside: PipelineConnection) -> None:
    given = log(star, (1, 3, 1, 3), (2, 2, 10, 11), (3, 2, 12, 13))
    assert [first_id(given, beside, batch) for batch in (1, 2, 3)] == [1, 10, 12]


def insert_payments(pipeline: Pipeline, *records: int) -> None:
    """Inserts payments with these record ids."""
    pipeline.star("ALTER TABLE fact_payment DISABLE TRIGGER ALL")
    for record in records:
        pipeline.star(
            "INSERT INTO fact_payment VALUES (%s, 7, '2024-01-01', '08:00', '2024-01-01', '08:00', 1, 1, 0.10, 1, 1, "
            "false, '2024-12-31')",
            record,
        )


@pytest.mark.parametrize(
    "doubtful",
    [(2, 2, 8, 11), (2, 2, 10, 15), (2, 2, 2, 3), (2, 4, 9, 12)],
    ids=["first id changed", "last id changed", "overlaps the batch before", "overlaps the batch after"],
)
def test_range_in_doubt_is_not_believed_but_its_rows(
    star: PipelineConnection,
    beside: PipelineConnection,
    pipeline: Pipeline,
    doubtful: tuple[int, int, int, int],
) -> None:
    given = log(star, (1, 3, 1, 3), doubtful, (3, 2, 12, 13))
    star.commit()
    insert_payments(pipeline, 10, 11)
    assert first_id(given, beside, 2) == 10


def test_where_nothing_tells_record_ids_go_on(star: PipelineConnection, beside: PipelineConnection) -> None:
    given = log(star)
    assert [first_id(given, beside, batch) for batch in (1, 2)] == [1, 2]


def test_record_ids_never_go_back(star: PipelineConnection, beside: PipelineConnection) -> None:
    given = log(star, (1, 3, 1, 3), (2, 2, 10, 11))
    assert [first_id(given, beside, batch) for batch in (2, 1, 2)] == [10, 11, 12]


def test_record_ids_that_were_used_up_are_not_given_again(star: PipelineConnection) -> None:
    star.execute("SELECT setval('fact_payment_payment_record_id_seq', 41)")
    advance_sequence(Warehouse(star))
    assert star.execute(NEXT.format("public")).scalar() == 42


@pytest.mark.parametrize(("records", "following"), [((), 1), ((1,), 2), ((9, 10), 11)], ids=str)
def test_sequence_follows_the_highest_record_id(
    star: PipelineConnection, pipeline: Pipeline, records: tuple[int, ...], following: int
) -> None:
    star.commit()
    insert_payments(pipeline, *records)
    advance_sequence(Warehouse(star))
    assert star.execute(NEXT.format("public")).scalar() == following
