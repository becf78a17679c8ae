"""The connection of every stage: statements with parameters, transactions, and savepoints."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pg8000.dbapi
import pytest

from tests.support.pipeline import Pipeline
from totes.postgres.connection import WAREHOUSE, connected
from totes.postgres.driver import PipelineConnection, numbered
from totes.postgres.server_errors import sqlstate

COUNT = "SELECT count(*) FROM kept"


@pytest.fixture
def connection(pipeline: Pipeline) -> Iterator[PipelineConnection]:
    """Yields a connection to a warehouse that has a table `kept`."""
    with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-test") as made:
        with made.begin():
            made.execute("CREATE TABLE public.kept (number integer UNIQUE)")
        yield made


def is_open(connection: PipelineConnection) -> bool:
    try:
        with connection.begin():
            connection.execute("SELECT 1")
    except pg8000.dbapi.InterfaceError:
        return False
    return True


@pytest.mark.parametrize(
    ("statement", "text", "names"),
    [
        ("SELECT :one, :other, :one", "SELECT $1, $2, $3", ["one", "other", "one"]),
        ("SELECT :one::text, '1'::int", "SELECT $1::text, '1'::int", ["one"]),
        ("SELECT to_char(now(), 'HH24:MI:SS'), :one", "SELECT to_char(now(), 'HH24:MI:SS'), $1", ["one"]),
        ("SELECT x[:low], y[1:2]", "SELECT x[$1], y[1:2]", ["low"]),
        ("-- Who's there?\nSELECT :one", "-- Who's there?\nSELECT $1", ["one"]),
        ("SELECT 1 % 2", "SELECT 1 % 2", []),
    ],
)
def test_names_become_numbers(statement: str, text: str, names: list[str]) -> None:
    assert numbered(statement) == (text, names)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", 2**62),
        ("text", "Zoë's \\ % :name"),
        ("text", None),
        ("boolean", True),
        ("numeric", Decimal("1234567890.12")),
        ("date", date(2026, 11, 30)),
        ("timestamptz", datetime(2026, 11, 30, 12, 0, 0, 1, UTC)),
        ("uuid", UUID(int=7)),
        ("integer[]", [1, 2, 3]),
        ("text[]", ["a", "{b}", 'c"']),
        ("jsonb", {"a": [1]}),
    ],
)
def test_value_comes_back_as_it_was(connection: PipelineConnection, kind: str, value: Any) -> None:
    assert connection.execute(f"SELECT CAST(:value AS {kind})", {"value": value}).scalar() == value


def test_parameter_may_have_another_type_at_each_place(connection: PipelineConnection) -> None:
    (row,) = connection.execute("SELECT CAST(:n AS integer) AS a, CAST(:n AS text) AS b", {"n": "7", "unused": 1})
    assert (row.a, row.b) == (7, "7")


def test_transaction_is_committed_at_the_end_of_its_block(connection: PipelineConnection, pipeline: Pipeline) -> None:
    with connection.begin():
        assert connection.execute("INSERT INTO kept VALUES (1), (2)").count == 2
        assert pipeline.star(COUNT) == [[0]]
    assert pipeline.star(COUNT) == [[2]]


def test_transaction_is_rolled_back_if_its_block_fails(connection: PipelineConnection) -> None:
    with pytest.raises(pg8000.dbapi.DatabaseError), connection.begin():
        connection.execute("INSERT INTO kept VALUES (1); SELECT 1 / 0")
    with connection.begin():
        assert connection.execute(COUNT).scalar() == 0


def test_block_takes_over_the_transaction_that_has_begun(connection: PipelineConnection, pipeline: Pipeline) -> None:
    connection.execute("INSERT INTO kept VALUES (1)")
    with connection.begin():
        connection.execute("INSERT INTO kept VALUES (2)")
    assert pipeline.star(COUNT) == [[2]]


def test_refused_statement_leaves_the_connection_usable(connection: PipelineConnection) -> None:
    for statement, values in (("SELECT 1 / 0", None), ("SELECT 1 / CAST(:none AS integer)", {"none": 0})):
        with pytest.raises(pg8000.dbapi.DatabaseError) as caught, connection.begin():
            connection.execute(statement, values)
        assert sqlstate(caught.value) == "22012"
    assert is_open(connection)


def test_refused_copy_leaves_the_connection_usable(connection: PipelineConnection) -> None:
    blocks = [b"1\n", b"two\n", b"3\n"]
    with pytest.raises(pg8000.dbapi.DatabaseError) as caught, connection.begin():
        connection.execute("COPY kept FROM STDIN", stream=iter(blocks))
    assert sqlstate(caught.value) == "22P02"
    with connection.begin():
        assert connection.execute(COUNT).scalar() == 0
        connection.execute("COPY kept FROM STDIN", stream=iter([b"4\n"]))
    assert connection.execute(COUNT).scalar() == 1


def test_answer_that_is_not_read_to_its_end_ends_the_connection(connection: PipelineConnection) -> None:
    """The server has an hour 24, and Python does not."""
    with pytest.raises(ValueError, match="24:00"), connection.begin():
        connection.execute("SELECT CAST('24:00' AS time) FROM generate_series(1, 9)")
    assert not is_open(connection)


def test_copy_whose_blocks_fail_loads_nothing(connection: PipelineConnection, pipeline: Pipeline) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"1\n"
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), connection.begin():
        connection.execute("COPY kept FROM STDIN", stream=blocks())
    assert not is_open(connection)
    assert pipeline.star(COUNT) == [[0]]


def test_savepoint_rolls_its_own_part_back(connection: PipelineConnection) -> None:
    with connection.begin():
        connection.execute("INSERT INTO kept VALUES (1)")
        with connection.savepoint():
            connection.execute("INSERT INTO kept VALUES (2)")
            with pytest.raises(pg8000.dbapi.DatabaseError), connection.savepoint():
                connection.execute("INSERT INTO kept VALUES (3), (3)")
        with suppress(ValueError), connection.savepoint():
            connection.execute("INSERT INTO kept VALUES (4)")
            raise ValueError
        connection.execute("INSERT INTO kept VALUES (5)")
    assert connection.execute("SELECT number FROM kept ORDER BY 1").scalars() == [1, 2, 5]


def test_statements_run_in_one_round_trip_if_they_bind_nothing(connection: PipelineConnection) -> None:
    found = connection.execute("INSERT INTO kept VALUES (1); SELECT 'a' AS name; DELETE FROM kept")
    assert [row.name for row in found] == ["a"]


def test_connection_that_is_lost_says_so_each_time(connection: PipelineConnection, pipeline: Pipeline) -> None:
    pid = connection.execute("SELECT pg_backend_pid()").scalar()
    pipeline.postgres.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
    for _ in range(2):
        with pytest.raises((pg8000.dbapi.Error, OSError)), connection.begin():
            connection.execute(COUNT)
    assert not is_open(connection)
