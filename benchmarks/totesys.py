"""Fills a totesys of any size: any number of sales orders, and a few rows in the tables that they refer to."""

from local.postgres.databases import SOURCE
from local.postgres.server import Postgres

_STAMPS = "TIMESTAMP '2024-11-18 09:30:00.123', TIMESTAMP '2024-11-18 09:30:00.123'"
# The tables that a sales order refers to, with as many rows as in the real database.
_PARTIES = (
    ("address", "address_line_1, city, postal_code, country, phone", "'Line ' || n, 'City', '08841', 'UK', '1'", 30),
    ("department", "department_name", "'Department ' || n", 8),
    ("design", "design_name, file_location, file_name", "'Bronze', '/usr/lib', 'bronze-' || n || '.json'", 463),
    ("counterparty", "counterparty_legal_name, legal_address_id", "'Party ' || n, 1 + n % 30", 20),
    ("staff", "first_name, last_name, department_id, email_address", "'A', 'B', 1 + n % 8, n || '@totes'", 20),
)
_FOUNDATION = (
    f"INSERT INTO currency VALUES (1, 'GBP', {_STAMPS}), (2, 'USD', {_STAMPS}), (3, 'EUR', {_STAMPS})",
    f"INSERT INTO payment_type VALUES (1, 'SALES_RECEIPT', {_STAMPS}), (2, 'PURCHASE_PAYMENT', {_STAMPS})",
    *(
        f"INSERT INTO {table} ({columns}, created_at, last_updated) "
        f"SELECT {values}, {_STAMPS} FROM generate_series(1, {rows}) AS n"
        for table, columns, values, rows in _PARTIES
    ),
    # One row in each other table, so that no table is empty and all references are valid.
    f"INSERT INTO purchase_order VALUES (1, {_STAMPS}, 1, 1, 'ABC', 10, 2.00, 1, '2024-11-20', '2024-11-20', 1)",
    f"INSERT INTO transaction VALUES (1, 'PURCHASE', NULL, 1, {_STAMPS})",
    f"INSERT INTO payment VALUES (1, {_STAMPS}, 1, 1, 20.00, 1, 2, false, '2024-11-20', 1, 2)",
)
# Two years of orders, each with its own time. Every number is a function of the order's id.
_ORDERS = """
INSERT INTO sales_order (created_at, last_updated, design_id, staff_id, counterparty_id, units_sold, unit_price,
    currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id)
SELECT moment, moment, 1 + n % 463, 1 + n % 20, 1 + n % 19, 1000 + n % 99000, 2.00 + (n % 200) * 0.01, 1 + n % 3,
    to_char(moment + (n % 7) * interval '1 day', 'YYYY-MM-DD'),
    to_char(moment + (n % 6) * interval '1 day', 'YYYY-MM-DD'),
    1 + n % 30
FROM generate_series(1, {rows}) AS n,
    LATERAL (SELECT TIMESTAMP '2022-11-03 14:20:52.186' + (n * 739::bigint % 730) * interval '1 day'
        + (n % 36000) * interval '1.017 s' AS moment)
"""
# Later than every order and earlier amendment, because the peers find changes only by last_updated.
_AMENDMENT = """
UPDATE sales_order SET units_sold = units_sold + 1, last_updated = TIMESTAMP '2024-11-18' + {turn} * interval '1 hour'
WHERE sales_order_id % ({rows} / {changed}) = {turn} % ({rows} / {changed})
"""
CONTENT = "count(*), sum(sales_order_id::bigint)::bigint, sum(units_sold::bigint)::bigint"


def fill(postgres: Postgres, rows: int) -> None:
    """Fills the empty totesys."""
    for statement in (*_FOUNDATION, _ORDERS.format(rows=rows), "VACUUM (FREEZE, ANALYZE)", "CHECKPOINT"):
        postgres.execute(statement, SOURCE)


def amend(postgres: Postgres, rows: int, changed: int, turn: int) -> None:
    """Changes different sales orders at each turn, and moves `last_updated`, which the peers need."""
    postgres.execute(_AMENDMENT.format(rows=rows, changed=changed, turn=turn), SOURCE)


def content(postgres: Postgres, database: str = SOURCE, relation: str = "public.sales_order") -> list[int]:
    """Returns the number of rows and the sums of two columns, which must be equal in totesys and in a copy."""
    return list(postgres.execute(f"SELECT {CONTENT} FROM {relation}", database)[0])
