"""Two runs bring three months of the real totesys, from 2024-08-19 to 2024-11-15."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.conftest import MakesPipelines
from tests.support.pipeline import Pipeline, advance_to_extract, needs_real_data, physical_rows

pytestmark = needs_real_data

# Rows that differ between the two extracts although their last_updated is the same.
AMENDED = {"sales_order": 24, "purchase_order": 25, "design": 33}
FLIPPED = 57


@pytest.fixture(scope="module")
def advanced(pipelines: MakesPipelines, real_totesys: str) -> Iterator[Pipeline]:
    """Yields the pipeline after both runs. For reading only."""
    with pipelines(real_totesys) as real:
        real.run()
        with real.connection(real.source) as connection:
            advance_to_extract(connection, "2024-11-15")
        real.run()
        yield real


GOLDEN = {
    "sales units": ("SELECT sum(units_sold) FROM current_sales_order", 563_625_106),
    "purchased items": ("SELECT sum(item_quantity) FROM current_purchase_order", 2_332_249),
    "purchase value": (
        "SELECT sum(item_quantity * item_unit_price) FROM current_purchase_order",
        Decimal("1179231220.05"),
    ),
    "paid": ("SELECT count(*) FROM current_payment WHERE paid", 9_648),
    "paid receipts": ("SELECT count(*) FROM current_payment WHERE paid AND payment_type_id = 1", 6_831),
    "paid purchases": ("SELECT count(*) FROM current_payment WHERE paid AND payment_type_id = 3", 2_817),
    "unpaid": ("SELECT count(*) FROM current_payment WHERE NOT paid", 6_188),
}
SALES_VALUE = {
    "EUR": Decimal("567792732.95"),
    "GBP": Decimal("543550705.50"),
    "USD": Decimal("575687991.30"),
}
TOP = {
    "design": (
        "SELECT design_name, sum(units_sold) FROM current_sales_order JOIN dim_design USING (design_id)",
        [["Bronze", 64_670_555]],
    ),
    "staff": (
        "SELECT first_name || ' ' || last_name, sum(units_sold) "
        "FROM current_sales_order JOIN dim_staff ON staff_id = sales_staff_id",
        [["Jeanette Erdman", 30_259_549]],
    ),
    "counterparty": (
        "SELECT counterparty_legal_name, sum(units_sold) "
        "FROM current_sales_order JOIN dim_counterparty USING (counterparty_id)",
        [["Smith and Sons", 30_289_649]],
    ),
    "countries": (
        "SELECT country, sum(units_sold) "
        "FROM current_sales_order JOIN dim_location ON location_id = agreed_delivery_location_id",
        [
            ["Republic of Korea", 36_269_288],
            ["Austria", 20_428_540],
            ["Democratic People's Republic of Korea", 19_907_226],
        ],
    ),
}


def test_golden_numbers_are_met_exactly(advanced: Pipeline) -> None:
    found = {name: advanced.star(query)[0][0] for name, (query, _) in GOLDEN.items()}
    assert found == {name: expected for name, (_, expected) in GOLDEN.items()}
    values = advanced.star(
        "SELECT currency_code, sum(units_sold * unit_price) "
        "FROM current_sales_order JOIN dim_currency USING (currency_id) GROUP BY 1"
    )
    assert dict(values) == SALES_VALUE
    for query, expected in TOP.values():
        rows = advanced.star(f"{query} GROUP BY 1 ORDER BY 2 DESC LIMIT {len(expected)}")
        assert rows == expected


def test_amended_orders_have_two_versions(advanced: Pipeline) -> None:
    for entity in ("sales_order", "purchase_order"):
        rows = advanced.star(
            f"SELECT {entity}_id, count(*), count(DISTINCT (last_updated_date, last_updated_time)) "
            f"FROM fact_{entity} GROUP BY 1 HAVING count(*) > 1"
        )
        assert len(rows) == AMENDED[entity]
        assert all(row[1:] == [2, 1] for row in rows)
    flipped = advanced.star(
        "SELECT payment_id FROM fact_payment GROUP BY 1 "
        "HAVING count(*) = 2 AND count(DISTINCT paid) = 2 "
        "AND count(DISTINCT (last_updated_date, last_updated_time)) = 2"
    )
    assert len(flipped) == FLIPPED


def test_second_run_lands_only_what_changed(real: Pipeline) -> None:
    real.run()
    with real.connection(real.source) as connection:
        advance_to_extract(connection, "2024-11-15")
    landed = real.ingest()
    assert landed.rows == {
        "design": 52 + AMENDED["design"],
        "sales_order": 1_389 + AMENDED["sales_order"],
        "purchase_order": 554 + AMENDED["purchase_order"],
        "transaction": 1_943,
        "payment": 1_943 + FLIPPED,
    }
    assert not landed.deleted


SAME = {
    "dim_staff": "SELECT staff_id, first_name, last_name, department_name, coalesce(location, 'Unknown'), "
    "email_address FROM staff JOIN department USING (department_id)",
    "dim_location": "SELECT address_id, address_line_1, address_line_2, district, city, postal_code, country, phone "
    "FROM address",
    "dim_design": "SELECT design_id, design_name, file_location, file_name FROM design",
    "dim_counterparty": "SELECT counterparty_id, counterparty_legal_name, address_line_1, address_line_2, district, "
    "city, postal_code, country, phone FROM counterparty JOIN address ON address_id = legal_address_id",
    "dim_payment_type": "SELECT payment_type_id, CAST(payment_type_name AS text) FROM payment_type",
    "dim_transaction": "SELECT transaction_id, CAST(transaction_type AS text), sales_order_id, purchase_order_id "
    "FROM transaction",
    "dim_currency": "SELECT currency_id, currency_code, "
    "CASE currency_code WHEN 'GBP' THEN 'Pound Sterling' WHEN 'USD' THEN 'US Dollar' ELSE 'Euro' END FROM currency",
}


@pytest.mark.parametrize("dimension", SAME)
def test_dimension_equals_the_source(advanced: Pipeline, dimension: str) -> None:
    expected = advanced.totesys(f"{SAME[dimension]} ORDER BY 1")
    assert advanced.star(f"SELECT * FROM {dimension} ORDER BY 1") == expected


def test_third_run_writes_nothing(advanced: Pipeline) -> None:
    objects, rows = advanced.objects(), physical_rows(advanced)
    landed, processed, loaded = advanced.run()
    assert (landed.batch, landed.new_data, processed.batches, loaded.batches) == (None, False, 0, 0)
    assert advanced.objects() == objects
    assert physical_rows(advanced) == rows
