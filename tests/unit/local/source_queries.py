"""Queries of a totesys in tests."""

import io
from typing import Any

from pg8000.native import identifier

GROWING = ("design", "payment", "purchase_order", "sales_order", "transaction")
TABLES = (*GROWING, "address", "counterparty", "currency", "department", "payment_type", "staff")


def rows(connection: Any, query: str, **names: str) -> Any:
    """Returns all rows; `{name}` in the query is replaced with a quoted identifier."""
    cursor = connection.cursor()
    cursor.execute(query.format(**{name: identifier(value) for name, value in names.items()}))
    return cursor.fetchall()


def value(connection: Any, query: str, **names: str) -> Any:
    """Returns the first column of the first row."""
    return rows(connection, query, **names)[0][0]


def text(connection: Any, tables: tuple[str, ...], order: str) -> dict[str, bytes]:
    """Returns each table's rows as COPY writes them, ordered by the column `order`, or by its key for `key`."""
    contents = {}
    for table in tables:
        by = f"{table}_id" if order == "key" else order
        stream = io.BytesIO()
        query = " ".join(("SELECT * FROM", identifier(table), "ORDER BY", by))
        connection.cursor().execute(f"COPY ({query}) TO STDOUT", stream=stream)
        contents[table] = stream.getvalue()
    return contents


def empty(connection: Any) -> None:
    """Empties the tables, as the schema creates them."""
    names = ", ".join(identifier(table) for table in TABLES)
    connection.cursor().execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    connection.commit()
