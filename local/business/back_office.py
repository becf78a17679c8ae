"""Writes rows to totesys as the back office's programs do. The caller commits the cursor's transaction."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pg8000.native import identifier

from local.business import trading
from local.business.connection import Cursor
from local.business.trading import Columns

Record = dict[str, Any]


def records(columns: Columns) -> list[Record]:
    """Returns the rows as the driver binds them: money as Decimal, dates as text, as in the source."""
    return [
        dict(zip(columns, record, strict=True))
        for record in zip(*(_plain(name, values) for name, values in columns.items()), strict=True)
    ]


def flip_paid(cursor: Cursor, moment: datetime) -> int:
    """Marks the payments due on the day of `moment` as paid, with `moment` as last_updated; returns their number.

    This is the only update that changes last_updated. Payments due on a weekend, or on the day of their order, are
    never marked.
    """
    cursor.execute(
        "UPDATE payment SET paid = true, last_updated = %s WHERE payment_date = %s AND NOT paid",
        (moment, moment.date().isoformat()),
    )
    return cursor.rowcount


def place_order(cursor: Cursor, order: Record, payment: Record) -> str:
    """Inserts an order, its transaction and its payment, with the same created_at; returns the order's table."""
    sale = payment["payment_type_id"] == trading.SALES_RECEIPT
    table, kind = ("sales_order", "SALE") if sale else ("purchase_order", "PURCHASE")
    transaction = {
        "transaction_type": kind,
        f"{table}_id": insert(cursor, table, order),
        "created_at": order["created_at"],
        "last_updated": order["last_updated"],
    }
    insert(cursor, "payment", {"transaction_id": insert(cursor, "transaction", transaction), **payment})
    return table


def insert(cursor: Cursor, table: str, record: Record) -> int:
    """Inserts a row, given by column name; returns the id from the table's sequence."""
    names = ", ".join(identifier(column) for column in record)
    values = ", ".join(["%s"] * len(record))
    statement = ("INSERT INTO", identifier(table), f"({names}) VALUES ({values}) RETURNING", identifier(f"{table}_id"))
    cursor.execute(" ".join(statement), tuple(record.values()))
    new_id: int = cursor.fetchone()[0]
    return new_id


def _plain(name: str, values: Any) -> list[Any]:
    if name in trading.MONEY:
        return [Decimal(hundredths).scaleb(-2) for hundredths in values.tolist()]
    if name.endswith("_date"):
        return [day.isoformat() for day in values.tolist()]
    plain: list[Any] = values.tolist()
    return plain
