"""The seed's history, held against what was measured on the real database."""

import io
from datetime import date
from typing import Any

import pytest

from local.seed import seed

TABLES = (
    "address",
    "counterparty",
    "currency",
    "department",
    "design",
    "payment",
    "payment_type",
    "purchase_order",
    "sales_order",
    "staff",
    "transaction",
)


def rows(connection: Any, query: str) -> Any:
    cursor = connection.cursor()
    cursor.execute(query)
    return cursor.fetchall()


def value(connection: Any, query: str) -> Any:
    return rows(connection, query)[0][0]


def heap(connection: Any) -> dict[str, bytes]:
    """Every table's rows, byte for byte and in the order in which they are stored."""
    contents = {}
    for table in TABLES:
        stream = io.BytesIO()
        connection.cursor().execute(f'COPY (SELECT * FROM "{table}" ORDER BY ctid) TO STDOUT', stream=stream)
        contents[table] = stream.getvalue()
    return contents


def empty(connection: Any) -> None:
    connection.cursor().execute(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY CASCADE")
    connection.commit()


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
    written = seed(totesys)
    assert written == {
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
    assert written == {table: value(totesys, f'SELECT count(*) FROM "{table}"') for table in TABLES}


def test_scale_multiplies_orders_only(totesys: Any) -> None:
    written = seed(totesys, scale=5, until=date(2023, 11, 3))
    assert written["sales_order"] == pytest.approx(5 * 21.03 * 262, rel=0.001)
    assert written["purchase_order"] == pytest.approx(5 * 8.74 * 262, rel=0.001)
    assert written["transaction"] == written["payment"] == written["sales_order"] + written["purchase_order"]
    assert (written["staff"], written["address"], written["counterparty"]) == (20, 30, 20)
    assert written["design"] == pytest.approx(10 + 0.87 * 262, abs=1)


def test_chunks_join_without_a_seam(totesys: Any) -> None:
    written = seed(totesys, scale=10)
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
    seed(totesys, scale=0.2)
    first = heap(totesys)
    empty(totesys)
    seed(totesys, scale=0.2)
    assert heap(totesys) == first


def test_another_seed_makes_other_orders(totesys: Any) -> None:
    seed(totesys, scale=0.2, seed=1)
    first = heap(totesys)
    empty(totesys)
    seed(totesys, scale=0.2, seed=2)
    assert heap(totesys)["sales_order"] != first["sales_order"]


def test_orders_arrive_in_business_hours(totesys: Any) -> None:
    seed(totesys)
    stamps = "SELECT created_at FROM sales_order UNION ALL SELECT created_at FROM purchase_order"
    by_hour = rows(
        totesys, f"SELECT extract(hour FROM created_at)::int, count(*) FROM ({stamps}) s GROUP BY 1 ORDER BY 1"
    )
    assert [hour for hour, _ in by_hour] == list(range(8, 19))
    days = rows(totesys, f"SELECT DISTINCT extract(isodow FROM created_at)::int FROM ({stamps}) s ORDER BY 1")
    assert [day for (day,) in days] == [1, 2, 3, 4, 5]
    ends = rows(totesys, f"SELECT min(created_at)::date::text, max(created_at)::date::text FROM ({stamps}) s")
    assert list(ends[0]) == ["2022-11-03", "2024-11-15"]


def test_designs_are_made_in_business_hours(totesys: Any) -> None:
    seed(totesys, scale=0.01)
    assert value(
        totesys,
        "SELECT bool_and(extract(isodow FROM created_at) < 6 AND extract(hour FROM created_at) BETWEEN 8 AND 18)"
        " FROM design",
    )


def test_weekday_brings_the_measured_orders(totesys: Any) -> None:
    seed(totesys)
    for table, low, high in (("sales_order", 20, 22), ("purchase_order", 8, 10)):
        a_day = f"SELECT created_at::date, count(*) AS orders FROM {table} GROUP BY 1"
        assert low < value(totesys, f"SELECT avg(orders) FROM ({a_day}) a") < high
        assert value(totesys, f"SELECT stddev(orders) FROM ({a_day}) a") > 2


def test_order_transaction_and_payment_share_their_facts(totesys: Any) -> None:
    written = seed(totesys)
    agreeing = (
        "SELECT count(*) FROM {order} o JOIN transaction t USING ({order}_id) JOIN payment p USING (transaction_id)"
        " WHERE t.created_at = o.created_at AND p.created_at = o.created_at"
        " AND p.counterparty_id = o.counterparty_id AND p.currency_id = o.currency_id"
        " AND p.payment_date = o.agreed_payment_date AND p.payment_amount = {amount}"
        " AND t.transaction_type::text = '{kind}' AND p.payment_type_id = {payment_type}"
    )
    sales = agreeing.format(order="sales_order", amount="units_sold * unit_price", kind="SALE", payment_type=1)
    purchases = agreeing.format(
        order="purchase_order", amount="item_quantity * item_unit_price", kind="PURCHASE", payment_type=3
    )
    assert value(totesys, sales) == written["sales_order"]
    assert value(totesys, purchases) == written["purchase_order"]


def test_paid_batch_ties_its_rows(totesys: Any) -> None:
    seed(totesys)
    batches = rows(
        totesys,
        "SELECT last_updated::time(0)::text, count(*) FROM payment WHERE paid GROUP BY last_updated, last_updated::date",
    )
    days = value(totesys, "SELECT count(DISTINCT last_updated::date) FROM payment WHERE paid")
    assert len(batches) == days > 500
    assert all("07:55:10" <= moment <= "07:55:13" for moment, _ in batches)
    assert 25 < max(count for _, count in batches) < 45
    assert value(totesys, "SELECT bool_and(last_updated::date::text = payment_date) FROM payment WHERE paid")


def test_payments_are_paid_as_measured(totesys: Any) -> None:
    seed(totesys)
    assert 0.59 < value(totesys, "SELECT avg(paid::int) FROM payment") < 0.63
    fate = rows(
        totesys,
        "SELECT DISTINCT paid, extract(isodow FROM payment_date::date) < 6"
        " AND payment_date::date > created_at::date AND payment_date <= '2024-11-15' FROM payment",
    )
    assert sorted(map(tuple, fate)) == [(False, False), (True, True)]


def test_only_paid_payments_move_last_updated(totesys: Any) -> None:
    seed(totesys, scale=0.2)
    for table in TABLES:
        moved = value(totesys, f'SELECT count(*) FROM "{table}" WHERE last_updated <> created_at')
        assert moved == (value(totesys, "SELECT count(*) FROM payment WHERE paid") if table == "payment" else 0)


def test_ids_run_nearly_in_time_order(totesys: Any) -> None:
    written = seed(totesys)
    for table in ("sales_order", "transaction", "payment"):
        steps_back = value(
            totesys,
            "SELECT count(*) FROM (SELECT created_at < lag(created_at)"
            f" OVER (ORDER BY {table}_id) AS back FROM {table}) t WHERE back",
        )
        assert 0 < steps_back < 0.02 * written[table], table


def test_heap_is_not_in_id_order(totesys: Any) -> None:
    seed(totesys, scale=0.2)
    for table in ("sales_order", "purchase_order", "payment"):
        in_heap = [key for (key,) in rows(totesys, f"SELECT {table}_id FROM {table} ORDER BY ctid")]
        assert in_heap != sorted(in_heap), table


def test_few_timestamps_have_no_milliseconds(totesys: Any) -> None:
    seed(totesys)
    whole = value(totesys, "SELECT avg((created_at = date_trunc('second', created_at))::int) FROM transaction")
    assert 0.0007 < whole < 0.0025


def test_dates_are_iso_text(totesys: Any) -> None:
    seed(totesys, scale=0.2)
    iso = "'^20[0-9]{2}-[0-9]{2}-[0-9]{2}$'"
    for table in ("sales_order", "purchase_order"):
        assert value(
            totesys, f"SELECT bool_and(agreed_delivery_date ~ {iso} AND agreed_payment_date ~ {iso}) FROM {table}"
        )
    assert value(totesys, f"SELECT bool_and(payment_date ~ {iso}) FROM payment")


def test_delivery_and_payment_follow_within_a_week(totesys: Any) -> None:
    seed(totesys)
    for column, days in (("agreed_delivery_date", 7), ("agreed_payment_date", 6)):
        lead = rows(totesys, f"SELECT DISTINCT {column}::date - created_at::date FROM sales_order ORDER BY 1")
        assert [day for (day,) in lead] == list(range(days + 1))


def test_quantities_and_prices_stay_in_range(totesys: Any) -> None:
    seed(totesys)
    assert value(
        totesys, "SELECT bool_and(units_sold BETWEEN 1000 AND 100000 AND unit_price BETWEEN 2 AND 4) FROM sales_order"
    )
    assert value(
        totesys,
        "SELECT bool_and(item_quantity BETWEEN 1 AND 1000 AND item_unit_price BETWEEN 3 AND 1000) FROM purchase_order",
    )
    assert value(totesys, "SELECT count(DISTINCT unit_price) FROM sales_order") == 201


def test_every_order_names_an_existing_design(totesys: Any) -> None:
    seed(totesys)
    early = "SELECT count(*) FROM sales_order s JOIN design d USING (design_id) WHERE d.created_at > s.created_at"
    assert value(totesys, early) == 0
    assert value(totesys, "SELECT count(DISTINCT design_id) FROM sales_order") > 450


def test_twelve_names_cover_the_designs(totesys: Any) -> None:
    seed(totesys, scale=0.01)
    assert value(totesys, "SELECT count(DISTINCT design_name) FROM design") == 12


def test_currencies_and_payment_types_keep_their_ids(totesys: Any) -> None:
    seed(totesys, scale=0.2)
    assert rows(totesys, "SELECT currency_id, currency_code FROM currency ORDER BY 1") == (
        [1, "GBP"],
        [2, "USD"],
        [3, "EUR"],
    )
    names = rows(totesys, "SELECT payment_type_name::text FROM payment_type ORDER BY payment_type_id")
    assert [name for (name,) in names] == ["SALES_RECEIPT", "SALES_REFUND", "PURCHASE_PAYMENT", "PURCHASE_REFUND"]
    used = rows(totesys, "SELECT DISTINCT payment_type_id FROM payment ORDER BY 1")
    assert [key for (key,) in used] == [1, 3]


def test_text_holds_what_breaks_careless_code(totesys: Any) -> None:
    seed(totesys, scale=0.01)
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
    assert [nasty for nasty, query in nasties.items() if not value(totesys, query)] == []


def test_nulls_are_as_many_as_measured(totesys: Any) -> None:
    seed(totesys, scale=0.01)
    nulls = rows(
        totesys,
        "SELECT count(*) FILTER (WHERE address_line_2 IS NULL), count(*) FILTER (WHERE district IS NULL) FROM address",
    )
    assert list(nulls[0]) == [20, 14]
    assert value(totesys, "SELECT count(*) FROM address WHERE address_line_2 = '' OR district = ''") == 0


def test_references_are_back_after_seeding(totesys: Any) -> None:
    query = (
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
    )
    before = rows(totesys, query)
    seed(totesys, scale=0.2)
    assert rows(totesys, query) == before
    assert sum(definition.startswith("FOREIGN KEY") for _, _, definition, _ in before) == 17


def test_sequences_go_on_after_the_seed(totesys: Any) -> None:
    written = seed(totesys, scale=0.2)
    following = {
        table: value(totesys, f"SELECT nextval(pg_get_serial_sequence('{table}', '{table}_id'))") for table in TABLES
    }
    assert following == {table: count + 1 for table, count in written.items()}


def test_history_ends_where_told(totesys: Any) -> None:
    seed(totesys, until=date(2022, 12, 3))
    assert value(totesys, "SELECT max(last_updated)::date::text FROM payment") == "2022-12-02"
    assert value(totesys, "SELECT count(*) FROM payment WHERE paid AND payment_date > '2022-12-03'") == 0


def test_seeded_source_is_not_seeded_twice(totesys: Any) -> None:
    seed(totesys, scale=0.2)
    before = heap(totesys)
    with pytest.raises(ValueError, match="already has rows"):
        seed(totesys, scale=0.2)
    assert heap(totesys) == before


def test_impossible_history_is_refused(totesys: Any) -> None:
    for arguments in ({"scale": 0.0}, {"scale": -1.0}, {"until": date(2022, 11, 2)}):
        with pytest.raises(ValueError, match="give a scale above 0 and a day from 2022-11-03 on"):
            seed(totesys, **arguments)  # type: ignore[arg-type]
    assert value(totesys, "SELECT count(*) FROM currency") == 0
