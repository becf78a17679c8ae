"""The business's questions on a loaded warehouse, compared to the cent with the real extract of 2024-11-15."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, text

from cli.answers import answer
from cli.charts.declaration import QuestionInvalid
from cli.charts.vega import panel_svgs
from cli.errors import CommandFailed, Misused
from cli.questions import Question, all_questions, find_question, read_question
from tests.support.alchemy import own

PARAMETERS = {"order_history": {"order_id": "1"}, "orders_as_of": {"moment": "2100-01-01T00:00:00Z"}}
WITHOUT_CHART = ("order_history", "slipped_deliveries")
MONEY = ("revenue", "spend", "amount", "value", "order")

REVENUE = {
    "EUR": Decimal("567792732.95"),
    "GBP": Decimal("543550705.50"),
    "USD": Decimal("575687991.30"),
}
UNITS = 563_625_106


@pytest.fixture
def connection(warehouse: Engine) -> Iterator[Connection]:
    """Yields a transaction on our own seed's warehouse that is rolled back, so that a test may write."""
    with warehouse.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def real(warehouse_2024_11_15: Engine) -> Iterator[Connection]:
    with warehouse_2024_11_15.connect() as connection:
        yield connection


@pytest.mark.parametrize("question", all_questions().values(), ids=lambda question: question.name)
def test_every_question_gets_an_answer(connection: Connection, question: Question) -> None:
    if question.name == "slipped_deliveries":
        amend(connection, 1, agreed_delivery_date=text("agreed_delivery_date + 1"))
    columns, rows = question.ask(own(connection), PARAMETERS.get(question.name, {}))
    assert rows
    assert len(set(columns)) == len(columns)
    assert not [value for row in rows for value in row.values() if isinstance(value, float)]


@pytest.mark.parametrize("question", all_questions().values(), ids=lambda question: question.name)
def test_money_always_stands_beside_its_currency(connection: Connection, question: Question) -> None:
    columns, _ = question.ask(own(connection), PARAMETERS.get(question.name, {}))
    if any(column.endswith(MONEY) for column in columns):
        assert "currency_code" in columns


@pytest.mark.parametrize("question", all_questions().values(), ids=lambda question: question.name)
def test_every_declared_chart_fits_its_answer(connection: Connection, question: Question) -> None:
    """The columns exist, and each panel with an amount has one currency."""
    found = answer(own(connection), question, PARAMETERS.get(question.name, {}))
    chart = found.chart
    if chart is None:
        assert question.name in WITHOUT_CHART
        return
    assert {chart.x, chart.y, *chart.row} <= set(found.columns)
    for panel in found.panels(chart):
        if any(panel.is_amount(column) for column in found.axes(chart)):
            assert len({row["currency_code"] for row in panel.rows}) == 1
    assert sum(len(panel.rows) for panel in found.panels(chart)) == len(found.rows)
    assert {label.rpartition(" ")[2] for label, _ in panel_svgs(found)} >= {
        row["currency_code"] for row in found.rows if "currency_code" in chart.row
    }


def test_paid_payments_are_counted_beside_their_amount(connection: Connection) -> None:
    for row in ask(connection, "payments_by_age"):
        assert (row["paid_count"] > 0) == (row["paid_amount"] > 0)
        assert (row["outstanding_count"] > 0) == (row["outstanding_amount"] > 0)


PERIODS = pytest.mark.parametrize(("name", "period"), [("revenue_by_month", "month"), ("growth_by_quarter", "quarter")])


@PERIODS
def test_newest_and_oldest_period_are_unfinished_in_all_currencies(
    connection: Connection, name: str, period: str
) -> None:
    """The seed's first order falls in the middle of a month and of a quarter."""
    rows = ask(connection, name)
    ends = {min(row[period] for row in rows), max(row[period] for row in rows)}
    assert {row[period] for row in rows if row["unfinished"]} == ends
    changes = [column for column in rows[0] if column.startswith("percent_")]
    assert [row[column] for row in rows if row["unfinished"] for column in changes if row[column] is not None] == []
    assert [row[changes[0]] for row in rows if not row["unfinished"] and row[changes[0]] is not None]


@PERIODS
def test_no_change_is_shown_on_an_unfinished_period(connection: Connection, name: str, period: str) -> None:
    rows = [row for row in ask(connection, name) if row["currency_code"] == "EUR"]
    after = [index for index, row in enumerate(rows) if index and rows[index - 1]["unfinished"]]
    (change, *_) = (column for column in rows[0] if column.endswith("_before"))
    assert [rows[index][change] for index in after] == [None] * len(after)
    if name == "growth_by_quarter":
        assert [row["percent_on_year_before"] for row in rows[:5]] == [None] * 5
        assert len(rows) < 6 or rows[5]["percent_on_year_before"] is not None or rows[5]["unfinished"]


@PERIODS
def test_first_order_on_the_first_day_makes_the_oldest_period_whole(
    connection: Connection, name: str, period: str
) -> None:
    first = min(row["month"] for row in ask(connection, "revenue_by_month"))
    start = {"month": f"{first}-01", "quarter": f"{first[:4]}-{(int(first[5:]) - 1) // 3 * 3 + 1:02d}-01"}[period]
    amend(connection, 1, created_date=text(f"CAST('{start}' AS date)"))
    oldest = [row for row in ask(connection, name) if row[period] == min(r[period] for r in ask(connection, name))]
    assert [row["unfinished"] for row in oldest] == [False] * len(oldest)


def test_order_of_the_next_month_finishes_the_one_before(connection: Connection) -> None:
    newest = max(row["month"] for row in ask(connection, "revenue_by_month"))
    amend(connection, 1, created_date=text(f"CAST('{newest}-01' AS date) + INTERVAL '1 month'"))
    unfinished = {row["month"] for row in ask(connection, "revenue_by_month") if row["unfinished"]}
    assert newest not in unfinished
    assert max(unfinished) > newest


def test_answer_says_what_it_is_from(connection: Connection) -> None:
    found = answer(own(connection), find_question("revenue_by_currency"), {})
    (newest,) = connection.execute(text("SELECT batch_id, snapshot_at FROM etl.batch ORDER BY 1 DESC LIMIT 1"))
    assert (found.batch, found.snapshot_at) == tuple(newest)


def test_state_of_orders_defaults_to_the_newest_snapshot(connection: Connection) -> None:
    moment = connection.scalar(text("SELECT MAX(snapshot_at) FROM etl.batch"))
    assert ask(connection, "orders_as_of") == ask(connection, "orders_as_of", moment=moment.isoformat())


@pytest.mark.parametrize("name", ["revenue_by_weekday", "revenue_by_staff", "revenue_by_month", "growth_by_quarter"])
def test_revenue_is_the_same_however_cut(connection: Connection, name: str) -> None:
    assert total(ask(connection, name), "revenue") == total(ask(connection, "revenue_by_currency"), "revenue")


def test_amended_order_counts_once_with_new_values(connection: Connection) -> None:
    before = total(ask(connection, "revenue_by_currency"), "units")
    code = find_currency(connection, 1)
    amend(connection, 1, units_sold=text("units_sold + 7"))
    after = total(ask(connection, "revenue_by_currency"), "units")
    assert after == before | {code: before[code] + 7}


def test_deleted_order_leaves_revenue_but_not_history(connection: Connection) -> None:
    before = total(ask(connection, "revenue_by_currency"), "orders")
    code = find_currency(connection, 1)
    delete(connection, 1)
    assert total(ask(connection, "revenue_by_currency"), "orders") == before | {code: before[code] - 1}
    (version,) = ask(connection, "order_history", order_id="1")
    assert version["deleted"]
    assert version["valid_to"] is not None


def test_history_names_what_changed(connection: Connection) -> None:
    amend(connection, 1, agreed_delivery_date=text("agreed_delivery_date + 3"), units_sold=text("units_sold + 1"))
    first, second = ask(connection, "order_history", order_id="1")
    assert (first["changed"], second["changed"]) == (None, "agreed_delivery_date, units_sold")
    assert first["valid_to"] == second["valid_from"]
    assert first["last_updated"] == second["last_updated"]


def test_slipped_delivery_shows_both_promises(connection: Connection) -> None:
    amend(connection, 1, agreed_delivery_date=text("agreed_delivery_date + 1"))
    amend(connection, 1, agreed_delivery_date=text("agreed_delivery_date + 2"))
    amend(connection, 2, agreed_delivery_date=text("agreed_delivery_date - 1"))
    (slipped,) = ask(connection, "slipped_deliveries")
    assert (slipped["sales_order_id"], slipped["days_slipped"]) == (1, 3)
    assert (slipped["current_promise"] - slipped["first_promise"]).days == 3


def test_earlier_moment_ignores_later_amendment(connection: Connection) -> None:
    moment = connection.scalar(text("SELECT MAX(snapshot_at) FROM etl.batch"))
    now = ask(connection, "orders_as_of", moment=moment.isoformat())
    amend(connection, 1, units_sold=text("units_sold + 7"))
    assert ask(connection, "orders_as_of", moment=moment.isoformat()) == now
    later = ask(connection, "orders_as_of", moment="2100-01-01T00:00:00Z")
    assert sum(row["units"] for row in later) == sum(row["units"] for row in now) + 7


@pytest.mark.parametrize("moment", ["2001-01-01T00:00:00Z", "-infinity", "0044-03-15 BC"])
def test_moment_before_first_snapshot_says_when_history_begins(connection: Connection, moment: str) -> None:
    first = connection.scalar(text("SELECT MIN(snapshot_at) FROM etl.batch"))
    with pytest.raises(CommandFailed) as caught:
        ask(connection, "orders_as_of", moment=moment)
    assert caught.value.message == (
        f"The warehouse knows no orders at {moment}: "
        f"its history begins at {first.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."
    )


@pytest.mark.parametrize("moment", ["2100-01-01T00:00:00Z", "infinity", "294276-12-31"])
def test_moment_to_come_is_as_the_last_batch(connection: Connection, moment: str) -> None:
    latest = connection.scalar(text("SELECT MAX(snapshot_at) FROM etl.batch"))
    now = ask(connection, "orders_as_of", moment=latest.isoformat())
    then = ask(connection, "orders_as_of", moment=moment)
    assert sum(row["units"] for row in then) == sum(row["units"] for row in now)


@pytest.mark.parametrize("order", ["999999", "-1", "0"])
def test_unknown_order_has_no_history(connection: Connection, order: str) -> None:
    with pytest.raises(CommandFailed, match=f"^The warehouse has never seen sales order {order}\\.$"):
        ask(connection, "order_history", order_id=order)


def test_payment_ages_default_to_newest_snapshot(connection: Connection) -> None:
    day = connection.scalar(text("SELECT MAX(snapshot_at AT TIME ZONE 'UTC')::date FROM etl.batch"))
    rows = ask(connection, "payments_by_age")
    assert {row["as_of"] for row in rows} == {day}
    assert rows == ask(connection, "payments_by_age", as_of=day.isoformat())


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (-1, "not due"),
        (0, "0-30"),
        (30, "0-30"),
        (31, "31-60"),
        (60, "31-60"),
        (61, "61-90"),
        (90, "61-90"),
        (91, "91-180"),
        (180, "91-180"),
        (181, "181-365"),
        (365, "181-365"),
        (366, "over 365"),
    ],
)
def test_payment_falls_into_the_band_of_its_age(connection: Connection, age: int, band: str) -> None:
    """All payments of one day, alone in the warehouse, are in one band."""
    day = connection.scalar(text("SELECT MAX(payment_date) FROM current_payment"))
    connection.execute(text("DELETE FROM fact_payment WHERE payment_date <> :day"), {"day": day})
    rows = ask(connection, "payments_by_age", as_of=(day + timedelta(days=age)).isoformat())
    assert {row["days"] for row in rows} == {band}


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        pytest.param("order_history", {}, "needs --param order_id", id="missing"),
        pytest.param("order_history", {"order_id": "1", "id": "1"}, "no parameter id", id="unknown"),
        pytest.param("order_history", {"order_id": "Bronze"}, "invalid input syntax", id="not a number"),
        pytest.param("order_history", {"order_id": "99999999999"}, "out of range", id="number out of range"),
        pytest.param("order_history", {"order_id": ""}, "invalid input syntax", id="empty"),
        pytest.param("order_history", {"order_id": "1.5"}, "invalid input syntax", id="half an order"),
        pytest.param("order_history", {"order_id": "\udcff"}, "a parameter is not UTF-8", id="no text"),
        pytest.param("orders_as_of", {"moment": "yesterday-ish"}, "invalid input syntax", id="not a moment"),
        pytest.param("orders_as_of", {"moment": "2024-02-30"}, "out of range", id="no such day"),
        pytest.param("orders_as_of", {"moment": "999999-01-01"}, "out of range", id="moment out of range"),
        pytest.param("orders_as_of", {"moment": "2024-01-01 Mars/Base"}, "not recognized", id="no such zone"),
        pytest.param("payments_by_age", {"as_of": "soon"}, "invalid input syntax", id="not a day"),
        pytest.param("payments_by_age", {"as_of": "5874898-01-01"}, "out of range", id="day out of range"),
        pytest.param("payments_by_age", {"as_of": "infinity"}, "cannot subtract infinite dates", id="endless day"),
    ],
)
def test_wrong_parameter_is_named(connection: Connection, name: str, given: Mapping[str, str], complaint: str) -> None:
    with pytest.raises(Misused, match=complaint):
        find_question(name).ask(own(connection), given)


@pytest.mark.parametrize(
    ("statement", "line", "said"),
    [
        ("SELECT 1,\n    revnue\nFROM current_sales_order;", 5, 'column "revnue" does not exist'),
        ("SELECT 1\nFROM nowhere;", 5, 'relation "nowhere" does not exist'),
        ("SELECT 1 FORM x;", 4, 'syntax error at or near "x"'),
        ("SELECT ':a:b:c:d', '::::::'\n, revnue;", 5, 'column "revnue" does not exist'),
        ("SELECT 1\nFROM dim_staff\nWHERE 1 / (staff_id - staff_id) = 1;", 4, "division by zero"),
        (
            "SELECT staff_id, first_name AS name,\n last_name AS name\nFROM dim_staff ORDER BY staff_id;",
            5,
            "2 columns are called name. Rename them with AS",
        ),
        (
            "SELECT * FROM dim_staff AS a\nINNER JOIN dim_staff AS b ON b.staff_id = a.staff_id;",
            4,
            "2 columns are called staff_id. Rename them with AS",
        ),
        ("SELECT 1, 2;", 4, "2 columns are called ?column?. Rename them with AS"),
        ("SELECT;", 4, "the answer has no columns"),
        (
            "\nWITH gone AS (DELETE FROM dim_staff RETURNING 1) SELECT * FROM gone;",
            5,
            "a question may only read. The server's message: cannot execute SELECT in a read-only transaction",
        ),
        (
            "SELECT staff_id INTO mine FROM dim_staff;",
            4,
            "a question may only read. The server's message: cannot execute SELECT INTO in a read-only transaction",
        ),
        (
            "SELECT staff_id FROM dim_staff FOR UPDATE;",
            4,
            "a question may only read. The server's message: cannot execute SELECT FOR UPDATE in a read-only "
            "transaction",
        ),
    ],
)
def test_mistake_in_a_statement_is_named_with_file_and_line(
    connection: Connection, tmp_path: Path, statement: str, line: int, said: str
) -> None:
    connection.execute(text("SET TRANSACTION READ ONLY"))
    with pytest.raises(QuestionInvalid) as caught:
        question_of(tmp_path, statement).ask(own(connection), {})
    assert caught.value.message == f"{tmp_path.name}/mine.sql:{line}: {said}."


def test_question_that_takes_too_long_is_named(connection: Connection, tmp_path: Path) -> None:
    connection.execute(text("SET LOCAL statement_timeout = '1ms'"))
    with pytest.raises(CommandFailed) as caught:
        question_of(tmp_path, "SELECT pg_sleep(10);").ask(own(connection), {})
    stopped = f"{tmp_path.name}/mine.sql was stopped after 0 s: canceling statement due to statement timeout."
    assert caught.value.message.startswith(f"{stopped} Let it read less")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'a :b c'", "a :b c"),
        ("""'{"a":1,"b"::x}' || ''""", '{"a":1,"b"::x}'),
        ("""('{"a":1}'::jsonb) ->> 'a'""", "1"),
        ("E'\\'::b' -- :c", "'::b"),
        ("$x$ :a $x$ /* :b /* :c */ */", " :a "),
        ("'50 %s %% ' || (7 % 4)::text", "50 %s %% 3"),
        ("CAST('1' AS int)::text", "1"),
        ("(ARRAY['a', 'b'])[2:2]::text", "{b}"),
    ],
)
def test_colons_of_literals_comments_and_casts_are_left_alone(
    connection: Connection, tmp_path: Path, expression: str, value: str
) -> None:
    assert question_of(tmp_path, f"SELECT {expression}\n AS found;").ask(own(connection), {})[1] == [{"found": value}]


def test_parameter_beside_a_cast_and_a_colon_in_a_text_is_bound(connection: Connection, tmp_path: Path) -> None:
    question = question_of(tmp_path, "SELECT :day::date + :days::int AS found, ':day' AS other;", "day", "days")
    assert question.ask(own(connection), {"day": "2024-02-28", "days": "1"})[1] == [
        {"found": date(2024, 2, 29), "other": ":day"}
    ]


def question_of(folder: Path, statement: str, *parameters: str) -> Question:
    """Writes a question of one's own, whose statement begins on line 4, plus a line for each parameter."""
    path = folder / "mine.sql"
    declared = "".join(f"-- Parameter :{name} (required): it.\n" for name in parameters)
    path.write_text(f"-- What?\n-- Answers: it.\n{declared}\n{statement}\n")
    return read_question(path)


def test_real_revenue_meets_golden_numbers(real: Connection) -> None:
    rows = ask(real, "revenue_by_currency")
    assert total(rows, "revenue") == REVENUE
    assert sum(row["units"] for row in rows) == UNITS


def test_real_top_countries_meet_golden_numbers(real: Connection) -> None:
    rows = ask(real, "top_designs_by_country")
    countries = {row["country"]: row["country_units"] for row in rows}
    assert list(countries.items())[:3] == [
        ("Republic of Korea", 36_269_288),
        ("Austria", 20_428_540),
        ("Democratic People's Republic of Korea", 19_907_226),
    ]
    assert [row["design_rank"] for row in rows] == [1, 2, 3] * 5


def test_real_best_seller_meets_golden_number(real: Connection) -> None:
    units: dict[str, int] = defaultdict(int)
    for row in ask(real, "revenue_by_staff"):
        units[row["staff_member"]] += row["units"]
    assert max(units.items(), key=lambda item: item[1]) == ("Jeanette Erdman", 30_259_549)


def test_real_spend_meets_golden_numbers(real: Connection) -> None:
    rows = ask(real, "spend_by_counterparty")
    assert sum(row["items"] for row in rows) == 2_332_249
    # A sum over currencies means nothing: here it only shows that no order is missing or doubled.
    assert sum(row["spend"] for row in rows) == Decimal("1179231220.05")


def test_real_payments_meet_golden_numbers(real: Connection) -> None:
    paid: dict[str, int] = defaultdict(int)
    rows = ask(real, "payments_by_age")
    for row in rows:
        paid[row["kind"]] += row["paid_count"]
    assert paid == {"SALES_RECEIPT": 6_831, "PURCHASE_PAYMENT": 2_817}
    assert sum(row["outstanding_count"] for row in rows) == 6_188


def test_real_orders_as_of_now_are_current(real: Connection) -> None:
    rows = ask(real, "orders_as_of", **PARAMETERS["orders_as_of"])
    assert sum(row["units"] for row in rows if row["side"] == "sales") == UNITS
    assert sum(row["units"] for row in rows if row["side"] == "purchases") == 2_332_249


def ask(connection: Connection, question: str, /, **parameters: str) -> list[dict[str, Any]]:
    return find_question(question).ask(own(connection), parameters)[1]


def total(rows: list[dict[str, Any]], column: str) -> dict[str, Any]:
    totals: dict[str, Any] = defaultdict(int)
    for row in rows:
        totals[row["currency_code"]] += row[column]
    return dict(totals)


def find_currency(connection: Connection, order: int) -> Any:
    statement = (
        "SELECT currency_code FROM current_sales_order JOIN dim_currency USING (currency_id) WHERE sales_order_id = :id"
    )
    return connection.scalar(text(statement), {"id": order})


def amend(connection: Connection, order: int, **changes: object) -> None:
    """Inserts a second version of a sales order, in a batch of its own, as Load would write it."""
    facts = sqlalchemy.Table("fact_sales_order", sqlalchemy.MetaData(), autoload_with=connection)
    columns = [column for column in facts.columns if column.name != "sales_record_id"]
    latest = (
        sqlalchemy.select(*(changes.get(column.name, column) for column in columns))  # type: ignore[call-overload]
        .where(facts.c.sales_order_id == order)
        .order_by(facts.c.sales_record_id.desc())
        .limit(1)
    )
    insert = facts.insert().from_select([column.name for column in columns], latest).returning(facts.c.sales_record_id)
    record = connection.scalar(insert)
    batch = new_batch(connection)
    connection.execute(
        text(
            "INSERT INTO etl.batch_table (batch_id, table_name, rows_staged, rows_inserted, rows_updated, rows_deleted,"
            " first_record_id, last_record_id) VALUES (:batch, 'fact_sales_order', 1, 1, 0, 0, :record, :record)"
        ),
        {"batch": batch, "record": record},
    )


def delete(connection: Connection, order: int) -> None:
    """Inserts the deletion of a sales order, in a batch of its own."""
    connection.execute(
        text(
            "INSERT INTO etl.tombstone (table_name, business_id, batch_id, record_id)"
            " SELECT 'fact_sales_order', sales_order_id, :batch, sales_record_id FROM current_sales_order"
            " WHERE sales_order_id = :order"
        ),
        {"batch": new_batch(connection), "order": order},
    )


def new_batch(connection: Connection) -> Any:
    return connection.scalar(
        text(
            "INSERT INTO etl.batch (batch_id, loaded_at, snapshot_at, execution)"
            " SELECT MAX(batch_id) + 1, MAX(loaded_at) + INTERVAL '1 hour', MAX(snapshot_at) + INTERVAL '1 hour',"
            " 'test' FROM etl.batch RETURNING batch_id"
        )
    )
