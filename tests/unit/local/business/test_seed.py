"""Compares the seed's history with measurements on the real database."""

import contextlib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest

from local.business.seed import seed
from local.business.trading import MEASURED_UNTIL, last_closed_day
from local.postgres.databases import SOURCE_SCHEMA
from local.postgres.server import Postgres
from tests.unit.local.source_queries import TABLES, empty, rows, text, value

SIZES = {
    "address": 30,
    "counterparty": 20,
    "currency": 3,
    "department": 8,
    "design": 473,
    "payment": 15_836,
    "payment_type": 4,
    "purchase_order": 4_649,
    "sales_order": 11_187,
    "staff": 20,
    "transaction": 15_836,
}


@pytest.fixture(scope="module")
def history(postgres: Postgres) -> Iterator[Any]:
    """Yields a connection to the default seed, for reading only."""
    postgres.create_database("seeded_by_default")
    with contextlib.closing(postgres.connect("seeded_by_default")) as connection:
        connection.cursor().execute(SOURCE_SCHEMA.read_text(encoding="utf-8"))
        seed(connection, until=MEASURED_UNTIL)
        yield connection


def test_schema_keeps_design_column_order(totesys: Any) -> None:
    columns = rows(
        totesys,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'design'::regclass AND attnum > 0 ORDER BY attnum",
    )
    assert [name for (name,) in columns] == [
        "design_id",
        "created_at",
        "design_name",
        "file_location",
        "file_name",
        "last_updated",
    ]


def test_schema_holds_filled_prisma_migrations(totesys: Any) -> None:
    assert value(totesys, "SELECT count(*) FROM _prisma_migrations") == 2


def test_schema_has_the_delete_rules(totesys: Any) -> None:
    rules = rows(
        totesys,
        "SELECT conrelid::regclass::text, confdeltype::text, count(*) FROM pg_constraint"
        " WHERE contype = 'f' GROUP BY 1, 2 ORDER BY 1",
    )
    restrict, set_null = "r", "n"
    assert sorted(map(tuple, rules)) == [
        ("counterparty", restrict, 1),
        ("payment", restrict, 4),
        ("purchase_order", restrict, 4),
        ("sales_order", restrict, 5),
        ("staff", restrict, 1),
        ("transaction", set_null, 2),
    ]


def test_sizes_are_the_real_ones(totesys: Any) -> None:
    assert seed(totesys, until=MEASURED_UNTIL) == SIZES
    assert {table: value(totesys, "SELECT count(*) FROM {table}", table=table) for table in TABLES} == SIZES


def test_scale_multiplies_orders_only(totesys: Any) -> None:
    written = seed(totesys, until=date(2023, 11, 3), days=262, scale=5)
    assert written["sales_order"] == pytest.approx(5 * 21.03 * 262, rel=0.001)
    assert written["purchase_order"] == pytest.approx(5 * 8.74 * 262, rel=0.001)
    assert written["transaction"] == written["payment"] == written["sales_order"] + written["purchase_order"]
    assert (written["staff"], written["address"], written["counterparty"]) == (20, 30, 20)
    assert written["design"] == pytest.approx(10 + 0.87 * 262, abs=1)


def test_chunks_join_without_a_seam(totesys: Any) -> None:
    written = seed(totesys, until=MEASURED_UNTIL, scale=10)
    assert written["transaction"] > 150_000, "the history must span several chunks for this test to say anything"
    assert value(
        totesys,
        "SELECT count(*) FROM transaction t JOIN payment p USING (transaction_id)"
        " LEFT JOIN sales_order s USING (sales_order_id) LEFT JOIN purchase_order o USING (purchase_order_id)"
        " WHERE coalesce(s.created_at, o.created_at) = t.created_at AND t.created_at = p.created_at",
    ) == (written["sales_order"] + written["purchase_order"])
    assert value(totesys, "SELECT max(sales_order_id) FROM sales_order") == written["sales_order"]
    assert value(totesys, "SELECT max(payment_id) FROM payment") == written["payment"]


def test_same_arguments_make_same_bytes(totesys: Any) -> None:
    seed(totesys, until=MEASURED_UNTIL, scale=0.2)
    first = text(totesys, TABLES, "ctid")
    empty(totesys)
    seed(totesys, until=MEASURED_UNTIL, scale=0.2)
    assert text(totesys, TABLES, "ctid") == first


def test_another_seed_makes_other_orders(totesys: Any) -> None:
    seed(totesys, until=MEASURED_UNTIL, scale=0.2, seed=1)
    first = text(totesys, TABLES, "ctid")
    empty(totesys)
    seed(totesys, until=MEASURED_UNTIL, scale=0.2, seed=2)
    assert text(totesys, TABLES, "ctid")["sales_order"] != first["sales_order"]


def test_orders_arrive_in_business_hours(history: Any) -> None:
    by_hour = rows(history, "SELECT extract(hour FROM created_at)::int, count(*) FROM payment GROUP BY 1 ORDER BY 1")
    assert [hour for hour, _ in by_hour] == list(range(8, 19))
    days = rows(history, "SELECT DISTINCT extract(isodow FROM created_at)::int FROM payment ORDER BY 1")
    assert [day for (day,) in days] == [1, 2, 3, 4, 5]
    ends = rows(history, "SELECT min(created_at)::date::text, max(created_at)::date::text FROM payment")
    assert list(ends[0]) == ["2022-11-03", "2024-11-15"]


def test_designs_are_made_in_business_hours(history: Any) -> None:
    assert value(
        history,
        "SELECT bool_and(extract(isodow FROM created_at) < 6 AND extract(hour FROM created_at) BETWEEN 8 AND 18)"
        " FROM design",
    )


def test_weekday_brings_the_measured_orders(history: Any) -> None:
    for table, low, high in (("sales_order", 20, 22), ("purchase_order", 8, 10)):
        [[mean, spread]] = rows(
            history,
            "SELECT avg(orders), stddev(orders)"
            " FROM (SELECT count(*) AS orders FROM {table} GROUP BY created_at::date) a",
            table=table,
        )
        assert low < mean < high
        assert spread > 2


def test_order_transaction_and_payment_share_their_facts(history: Any) -> None:
    agreeing = (
        "SELECT count(*) FROM {order} o JOIN transaction t USING ({key}) JOIN payment p USING (transaction_id)"
        " WHERE t.created_at = o.created_at AND p.created_at = o.created_at"
        " AND p.counterparty_id = o.counterparty_id AND p.currency_id = o.currency_id"
        " AND p.payment_date = o.agreed_payment_date AND p.payment_amount = o.{quantity} * o.{price}"
    )
    sales = value(
        history,
        agreeing + " AND t.transaction_type = 'SALE' AND p.payment_type_id = 1",
        order="sales_order",
        key="sales_order_id",
        quantity="units_sold",
        price="unit_price",
    )
    purchases = value(
        history,
        agreeing + " AND t.transaction_type = 'PURCHASE' AND p.payment_type_id = 3",
        order="purchase_order",
        key="purchase_order_id",
        quantity="item_quantity",
        price="item_unit_price",
    )
    assert (sales, purchases) == (SIZES["sales_order"], SIZES["purchase_order"])


def test_paid_batch_ties_its_rows(history: Any) -> None:
    batches = rows(
        history,
        "SELECT last_updated::time(0)::text, count(*) FROM payment WHERE paid GROUP BY last_updated",
    )
    days = value(history, "SELECT count(DISTINCT last_updated::date) FROM payment WHERE paid")
    assert len(batches) == days > 500
    assert all("07:55:10" <= moment <= "07:55:13" for moment, _ in batches)
    assert 25 < max(count for _, count in batches) < 45
    assert value(history, "SELECT bool_and(last_updated::date::text = payment_date) FROM payment WHERE paid")


def test_payments_are_paid_as_measured(history: Any) -> None:
    assert 0.59 < value(history, "SELECT avg(paid::int) FROM payment") < 0.63
    fate = rows(
        history,
        "SELECT DISTINCT paid, extract(isodow FROM payment_date::date) < 6"
        " AND payment_date::date > created_at::date AND payment_date <= '2024-11-15' FROM payment",
    )
    assert sorted(map(tuple, fate)) == [(False, False), (True, True)]


def test_only_paid_payments_move_last_updated(history: Any) -> None:
    for table in TABLES:
        moved = value(history, "SELECT count(*) FROM {table} WHERE last_updated <> created_at", table=table)
        assert moved == (value(history, "SELECT count(*) FROM payment WHERE paid") if table == "payment" else 0)


def test_ids_run_nearly_in_time_order(history: Any) -> None:
    for table in ("sales_order", "transaction", "payment"):
        steps_back = value(
            history,
            "SELECT count(*) FROM (SELECT created_at < lag(created_at) OVER (ORDER BY {key}) AS back FROM {table}) t"
            " WHERE back",
            key=f"{table}_id",
            table=table,
        )
        assert 0 < steps_back < 0.02 * SIZES[table], table


def test_heap_is_not_in_id_order(history: Any) -> None:
    for table in ("sales_order", "purchase_order", "payment"):
        in_heap = rows(history, "SELECT {key} FROM {table} ORDER BY ctid", key=f"{table}_id", table=table)
        assert list(in_heap) != sorted(in_heap), table


def test_few_timestamps_have_no_milliseconds(history: Any) -> None:
    whole = value(history, "SELECT avg((created_at = date_trunc('second', created_at))::int) FROM transaction")
    assert 0.0007 < whole < 0.0025


def test_dates_are_iso_text(history: Any) -> None:
    for table, column in (
        ("sales_order", "agreed_delivery_date"),
        ("sales_order", "agreed_payment_date"),
        ("purchase_order", "agreed_delivery_date"),
        ("purchase_order", "agreed_payment_date"),
        ("payment", "payment_date"),
    ):
        iso = "SELECT bool_and({column} ~ '^20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]$') FROM {table}"
        assert value(history, iso, table=table, column=column), (table, column)


def test_delivery_and_payment_follow_within_a_week(history: Any) -> None:
    leads = "SELECT DISTINCT {column}::date - created_at::date FROM sales_order ORDER BY 1"
    for column, days in (("agreed_delivery_date", 7), ("agreed_payment_date", 6)):
        assert [lead for (lead,) in rows(history, leads, column=column)] == list(range(days + 1))


def test_quantities_and_prices_stay_in_range(history: Any) -> None:
    assert value(
        history, "SELECT bool_and(units_sold BETWEEN 1000 AND 100000 AND unit_price BETWEEN 2 AND 4) FROM sales_order"
    )
    assert value(
        history,
        "SELECT bool_and(item_quantity BETWEEN 1 AND 1000 AND item_unit_price BETWEEN 3 AND 1000) FROM purchase_order",
    )
    assert value(history, "SELECT count(DISTINCT unit_price) FROM sales_order") == 201


def test_every_order_names_an_existing_design(history: Any) -> None:
    early = "SELECT count(*) FROM sales_order s JOIN design d USING (design_id) WHERE d.created_at > s.created_at"
    assert value(history, early) == 0
    assert value(history, "SELECT count(DISTINCT design_id) FROM sales_order") > 450


def test_twelve_names_cover_the_designs(history: Any) -> None:
    assert value(history, "SELECT count(DISTINCT design_name) FROM design") == 12


def test_currencies_and_payment_types_keep_their_ids(history: Any) -> None:
    assert rows(history, "SELECT currency_id, currency_code FROM currency ORDER BY 1") == (
        [1, "GBP"],
        [2, "USD"],
        [3, "EUR"],
    )
    names = rows(history, "SELECT payment_type_name::text FROM payment_type ORDER BY payment_type_id")
    assert [name for (name,) in names] == ["SALES_RECEIPT", "SALES_REFUND", "PURCHASE_PAYMENT", "PURCHASE_REFUND"]
    used = rows(history, "SELECT DISTINCT payment_type_id FROM payment ORDER BY 1")
    assert [key for (key,) in used] == [1, 3]


def test_text_holds_what_breaks_careless_code(history: Any) -> None:
    nasties = {
        "apostrophe in a name": "SELECT count(*) FROM staff WHERE last_name LIKE '%''%'",
        "apostrophe in an e-mail address": "SELECT count(*) FROM staff WHERE email_address LIKE '%''%'",
        "apostrophe in a country": "SELECT count(*) FROM address WHERE country LIKE '%''%'",
        "apostrophe in a path": "SELECT count(*) FROM design WHERE file_location LIKE '%''%'",
        "comma in a country": "SELECT count(*) FROM address WHERE country LIKE '%,%'",
        "comma in a company": "SELECT count(*) FROM counterparty WHERE counterparty_legal_name LIKE '%, %'",
        "leading zero": "SELECT count(*) FROM address WHERE postal_code LIKE '0%'",
        "letter beyond ASCII": "SELECT count(*) FROM address WHERE city ~ '[^ -~]'",
        "misspelt place": "SELECT count(*) FROM department WHERE location = 'Sheffeild'",
    }
    assert [nasty for nasty, query in nasties.items() if not value(history, query)] == []


def test_nulls_are_as_many_as_measured(history: Any) -> None:
    nulls = rows(
        history,
        "SELECT count(*) FILTER (WHERE address_line_2 IS NULL), count(*) FILTER (WHERE district IS NULL) FROM address",
    )
    assert list(nulls[0]) == [20, 14]
    assert value(history, "SELECT count(*) FROM address WHERE address_line_2 = '' OR district = ''") == 0


def test_references_are_back_after_seeding(totesys: Any) -> None:
    query = (
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
    )
    before = rows(totesys, query)
    seed(totesys, until=MEASURED_UNTIL, scale=0.2)
    assert rows(totesys, query) == before
    assert sum(definition.startswith("FOREIGN KEY") for _, _, definition, _ in before) == 17


@pytest.mark.parametrize(
    ("until", "last"),
    [
        pytest.param(date(2028, 2, 29), date(2028, 2, 29), id="leap day"),
        pytest.param(date(2027, 12, 31), date(2027, 12, 31), id="end of a year"),
        pytest.param(date(2027, 1, 1), date(2027, 1, 1), id="first of a year"),
        pytest.param(date(2026, 11, 29), date(2026, 11, 27), id="Sunday"),
        pytest.param(date(2026, 11, 30), date(2026, 11, 30), id="Monday"),
    ],
)
def test_history_is_the_same_whenever_it_ends(totesys: Any, until: date, last: date) -> None:
    assert seed(totesys, until=until) == SIZES
    ends = "SELECT max(created_at)::date, max(last_updated)::date, count(DISTINCT created_at::date) FROM payment"
    assert list(rows(totesys, ends)[0]) == [last, last, 532]
    assert 730 < value(totesys, "SELECT max(created_at)::date - min(created_at)::date FROM payment") < 750
    opening = "SELECT min(p.created_at::date) - max(c.created_at::date) FROM payment p, currency c"
    assert value(totesys, opening) in {1, 3}
    # Only agreed dates may lie in the future, as far as on any other day.
    agreed = "SELECT max(agreed_delivery_date::date) - max(created_at::date) FROM sales_order"
    assert 0 < value(totesys, agreed) <= 7
    assert value(totesys, "SELECT max(payment_date)::date FROM payment WHERE paid") == last
    early = "SELECT count(*) FROM sales_order s JOIN design d USING (design_id) WHERE d.created_at > s.created_at"
    assert value(totesys, early) == 0


@pytest.mark.parametrize(
    ("now", "ago", "day"),
    [
        pytest.param("2026-11-30T18:59:59+00:00", 0, date(2026, 11, 27), id="before closing"),
        pytest.param("2026-11-30T19:00:00+00:00", 0, date(2026, 11, 30), id="after closing"),
        pytest.param("2026-11-30T23:30:00+05:00", 0, date(2026, 11, 27), id="in another zone"),
        pytest.param("2026-11-28T12:00:00+00:00", 0, date(2026, 11, 27), id="Saturday"),
        pytest.param("2026-11-29T20:00:00+00:00", 0, date(2026, 11, 27), id="Sunday"),
        pytest.param("2026-11-30T20:00:00+00:00", 5, date(2026, 11, 23), id="five before"),
        pytest.param("2027-01-01T00:00:00+00:00", 1, date(2026, 12, 30), id="one before, at new year"),
    ],
)
def test_history_ends_with_the_last_day_that_has_closed(now: str, ago: int, day: date) -> None:
    assert last_closed_day(datetime.fromisoformat(now), ago) == day


def test_sequences_go_on_after_the_seed(totesys: Any) -> None:
    written = seed(totesys, until=MEASURED_UNTIL, scale=0.2)
    following = {
        table: value(totesys, f"SELECT nextval(pg_get_serial_sequence('{table}', '{table}_id'))") for table in TABLES
    }
    assert following == {table: count + 1 for table, count in written.items()}


def test_history_ends_where_told(totesys: Any) -> None:
    seed(totesys, until=date(2022, 12, 3), days=22)
    assert value(totesys, "SELECT min(created_at)::date::text FROM payment") == "2022-11-03"
    assert value(totesys, "SELECT max(last_updated)::date::text FROM payment") == "2022-12-02"
    assert value(totesys, "SELECT count(*) FROM payment WHERE paid AND payment_date > '2022-12-03'") == 0


def test_seeded_source_is_not_seeded_twice(totesys: Any) -> None:
    seed(totesys, until=MEASURED_UNTIL, scale=0.2)
    before = text(totesys, TABLES, "ctid")
    with pytest.raises(ValueError, match="already has rows"):
        seed(totesys, until=MEASURED_UNTIL, scale=0.2)
    assert text(totesys, TABLES, "ctid") == before


def test_impossible_history_is_refused(totesys: Any) -> None:
    for arguments in ({"scale": 0.0}, {"scale": -1.0}, {"days": 0}, {"days": -1}):
        with pytest.raises(ValueError, match="give numbers above 0"):
            seed(totesys, until=MEASURED_UNTIL, **arguments)  # type: ignore[arg-type]
    assert value(totesys, "SELECT count(*) FROM currency") == 0
