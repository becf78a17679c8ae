"""queries/lake/duckdb.sql gives the warehouse's answers on a lake with a history."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pytest

from cli.questions import all_questions, find_question
from local.postgres.databases import LOADER
from tests.lake.views import BACK, VIEWS, Rows
from tests.support.pipeline import Pipeline
from tests.support.replays import ORDER, POISONED
from tools.docs.lake import FOLDER
from totes.postgres.connection import WAREHOUSE, connected

# DuckDB's errors for questions that need more of the warehouse than its current state.
NOT_ANSWERED = {
    "order_history": "Table with name sales_order_history does not exist",
    "orders_as_of": '"etl.batch" does not exist',
    "overdue_by_counterparty": '"etl.batch" does not exist',
    "payments_by_age": '"etl.batch" does not exist',
    "slipped_deliveries": "Table with name sales_order_history does not exist",
}


def opened(lake: Path) -> duckdb.DuckDBPyConnection:
    """Returns a DuckDB connection with the shipped views over a folder."""
    connection = duckdb.connect()
    connection.execute(f"SET VARIABLE lake = '{lake}'")
    connection.execute((FOLDER / "duckdb.sql").read_text(encoding="utf-8"))
    return connection


@pytest.fixture(scope="module")
def duck(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with opened(lake) as connection:
        yield connection


def test_lake_has_what_these_tests_need(duck: duckdb.DuckDBPyConnection, current: Mapping[str, Rows]) -> None:
    def batches(view: str, key: int) -> Rows:
        statement = f"SELECT DISTINCT batch FROM {view}_sales_order WHERE sales_order_id = {key} ORDER BY 1"
        return duck.execute(statement).fetchall()

    assert batches("delivered", BACK) == [(1,), (2,), (7,), (9,)], "amended silently, delivered again, and come back"
    assert batches("deleted", BACK) == [(8,)]
    assert (batches("delivered", ORDER), batches("deleted", ORDER)) == ([(1,)], [(4,)])
    assert batches("delivered", POISONED) == [(1,), (6,), (7,)], "quarantined in the fifth batch"
    assert not [row for row in current["current_sales_order"] if row[0] == ORDER]
    assert [row for row in current["current_sales_order"] if row[0] == BACK]
    assert [row for row in current["dim_design"] if row[0] == 9001], "a dimension keeps what was deleted"
    assert not any(rows == [] for rows in current.values())


@pytest.mark.parametrize("view", VIEWS)
def test_current_state_is_the_warehouses(
    duck: duckdb.DuckDBPyConnection, current: Mapping[str, Rows], view: str
) -> None:
    found = duck.execute(f"SELECT * FROM {view} ORDER BY 1")
    assert [column[0] for column in found.description or ()] == [column.name for column in VIEWS[view].data_columns]
    assert found.fetchall() == current[view]


def test_deleted_rows_are_told_with_their_batch(duck: duckdb.DuckDBPyConnection) -> None:
    assert set(duck.execute("SELECT * FROM deleted_payment").fetchall()) == {(3, 8), (4, 8)}
    assert set(duck.execute("SELECT * FROM deleted_design").fetchall()) == {(9001, 4)}
    assert duck.execute("SELECT * FROM deleted_purchase_order").fetchall() == []


@pytest.mark.parametrize("name", sorted(all_questions().keys() - NOT_ANSWERED.keys()))
def test_question_of_the_business_has_the_same_answer(
    duck: duckdb.DuckDBPyConnection, lived: Pipeline, name: str
) -> None:
    with connected(WAREHOUSE, lived.credentials(lived.warehouse, LOADER), "totes-test") as connection:
        columns, expected = find_question(name).ask(connection, {})
    found = duck.execute(find_question(name).sql)
    assert [column[0] for column in found.description or ()] == list(columns)
    assert [list(row) for row in found.fetchall()] == [list(row.values()) for row in expected]
    # The sums are equal to the cent, and not by chance of a binary fraction.
    assert "DOUBLE" not in [str(column[1]) for column in found.description or ()]


@pytest.mark.parametrize(("name", "reason"), NOT_ANSWERED.items(), ids=NOT_ANSWERED)
def test_question_that_needs_more_is_refused(duck: duckdb.DuckDBPyConnection, name: str, reason: str) -> None:
    with pytest.raises(duckdb.CatalogException, match=reason):
        duck.execute(re.sub(r"(?<!:):[a-z_]+", "NULL", find_question(name).sql))


def test_new_batch_is_seen_by_an_open_session(lived: Pipeline, lake: Path, tmp_path: Path) -> None:
    """A lake without a batch has all views, and they have no rows."""
    with opened(tmp_path) as duck:
        assert [duck.execute(f"SELECT count(*) FROM {view}").fetchall() for view in VIEWS] == [[(0,)]] * len(VIEWS)
        (tmp_path / "data").symlink_to(lake / "data")
        assert duck.execute("SELECT count(*) FROM current_sales_order").fetchall() > [(100,)]
