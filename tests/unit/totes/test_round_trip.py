"""Every value that totesys can hold arrives unchanged in the warehouse: by COPY, Parquet, Parquet and COPY again."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import MakesPipelines
from tests.support.pipeline import Pipeline

NASTY = [
    *("", " ", "\\.", "\\N", "\\", "\n", "\r\n", "a\n\\.\nb", '"', '""', '","', ",", "'", "''", 'O\'Keefe, "Ltd"\n'),
    *("NaN", "NULL", "None", "nan", "null", "\\x00", "t", "f", "-0", "1e5", "08841", "00", "+1", "2024-01-01"),
    *(
        "👜",
        "e\u0301",
        "\ufeff",
        "\u2028",
        "\u0085",
        "\x01",
        "\x7f",
        "\U0010ffff",
        "%s",
        ":x",
        "{}",
        "; DROP TABLE staff",
    ),
]
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    st.lists(st.sampled_from(NASTY), max_size=4).map("".join),
)
MAX = 2**31 - 1
INTEGERS = st.one_of(st.sampled_from([-MAX - 1, -1, 0, 1, MAX]), st.integers(-MAX - 1, MAX))
MONEY = st.one_of(
    st.sampled_from([Decimal(text) for text in ("99999999.99", "-99999999.99", "0.00", "0.01", "-0.01", "0.10")]),
    st.integers(-(10**10) + 1, 10**10 - 1).map(lambda cents: Decimal(cents).scaleb(-2)),
)
FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_000)  # noqa: DTZ001  totesys has no zone
MOMENTS = st.one_of(
    st.sampled_from([FIRST, LAST, datetime(2024, 2, 29), datetime(1969, 12, 31, 23, 59, 59, 999_000)]),  # noqa: DTZ001
    st.integers(0, (LAST - FIRST) // timedelta(milliseconds=1)).map(lambda ms: FIRST + timedelta(milliseconds=ms)),
)
DATES = MOMENTS.map(lambda moment: f"{moment:%m-%d}").map("2024-{}".format) | st.sampled_from(
    ["0001-01-01", "9999-12-31"]
)
ADDRESSES = st.tuples(TEXTS, st.none() | TEXTS, st.none() | TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
ORDERS = st.tuples(MOMENTS, MOMENTS, INTEGERS, MONEY, DATES, DATES)


@pytest.fixture(scope="module")
def prepared(pipelines: MakesPipelines, empty_totesys: str) -> Iterator[Pipeline]:
    """Yields a pipeline whose totesys has one row of every table that an order refers to."""
    with pipelines(empty_totesys) as made:
        stamps = "'2024-01-01', '2024-01-01'"
        for statement in (
            f"INSERT INTO address VALUES (0, '', NULL, NULL, '', '', '', '', {stamps})",
            f"INSERT INTO currency VALUES (1, 'GBP', {stamps})",
            f"INSERT INTO department VALUES (1, '', NULL, NULL, {stamps})",
            "INSERT INTO design VALUES (1, '2024-01-01', '', '', '', '2024-01-01')",
            f"INSERT INTO counterparty VALUES (1, '', 0, NULL, NULL, {stamps})",
            f"INSERT INTO staff VALUES (1, '', '', 1, '', {stamps})",
        ):
            made.totesys(statement)
        yield made


def replace_rows(pipeline: Pipeline, addresses: list[tuple[Any, ...]], orders: list[tuple[Any, ...]]) -> None:
    with pipeline.connection(pipeline.source) as connection:
        cursor = connection.cursor()
        cursor.execute("DELETE FROM sales_order")
        cursor.execute("DELETE FROM address WHERE address_id > 0")
        for number, address in enumerate(addresses, start=1):
            cursor.execute(
                "INSERT INTO address VALUES (%s, %s, %s, %s, %s, %s, %s, %s, '2024-01-01', '2024-01-01')",
                (number, *address),
            )
        for number, (created, updated, *values) in enumerate(orders, start=1):
            cursor.execute(
                "INSERT INTO sales_order VALUES (%s, CAST(%s AS timestamp), CAST(%s AS timestamp), 1, 1, 1, "
                "%s, %s, 1, %s, %s, 0)",
                (number, created.isoformat(), updated.isoformat(), *values),
            )
        connection.commit()


@settings(deadline=None, max_examples=12, derandomize=True)
@given(st.lists(ADDRESSES, max_size=30), st.lists(ORDERS, max_size=30))
def test_every_value_arrives_as_it_was(
    prepared: Pipeline, addresses: list[tuple[Any, ...]], orders: list[tuple[Any, ...]]
) -> None:
    # The whole list as one row each, too: a nasty value must be tried in every column, whatever is drawn.
    addresses = [*addresses, *((text, text, text, text, text, text, text) for text in NASTY)]
    replace_rows(prepared, addresses, orders)
    prepared.run()

    rows = prepared.star("SELECT * FROM dim_location WHERE location_id BETWEEN 1 AND %s ORDER BY 1", len(addresses))
    assert [tuple(row[1:]) for row in rows] == addresses
    facts = prepared.star(
        "SELECT CAST(created_date + created_time AS text), CAST(last_updated_date + last_updated_time AS text), "
        "units_sold, CAST(unit_price AS text), CAST(agreed_delivery_date AS text), CAST(agreed_payment_date AS text) "
        "FROM current_sales_order ORDER BY sales_order_id"
    )
    assert facts == prepared.totesys(
        "SELECT CAST(created_at AS text), CAST(last_updated AS text), units_sold, CAST(unit_price AS text), "
        "agreed_delivery_date, agreed_payment_date FROM sales_order ORDER BY sales_order_id"
    )
    assert [(row[2], row[3]) for row in facts] == [(units, f"{price:.2f}") for _, _, units, price, _, _ in orders]
