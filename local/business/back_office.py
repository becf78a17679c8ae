"""What the back office's programs write to totesys, each deed on a cursor whose transaction the caller commits."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pg8000.native import identifier

from local.business import trading
from local.business.connection import Cursor
from local.business.trading import Columns

Record = dict[str, Any]


def records(columns: Columns) -> list[Record]:
    """Rows as the driver binds them: money as Decimal, dates as the text the source keeps them in."""
    return [
        dict(zip(columns, record, strict=True))
        for record in zip(*(_plain(name, values) for name, values in columns.items()), strict=True)
    ]


def flip_paid(cursor: Cursor, moment: datetime) -> int:
    """Mark what is due on the day of `moment` as paid, all stamped with that one moment, and return how many.

    This is the one update that moves last_updated. What falls due on a weekend, or on the day it is agreed, no batch
    ever looks at.
    """
    cursor.execute(
        "UPDATE payment SET paid = true, last_updated = %s WHERE payment_date = %s AND NOT paid",
        (moment, moment.date().isoformat()),
    )
    return cursor.rowcount


def place_order(cursor: Cursor, order: Record, payment: Record) -> str:
    """Insert an order with its transaction and its payment, all of one created_at, and return the order's table."""
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
    """Insert one row, its values by column name, and return the id that the table's sequence gave it."""
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
