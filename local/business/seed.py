"""Fills an empty totesys with two years of trading, at the rates measured on the real database."""

import io
from collections.abc import Mapping
from contextlib import closing
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from pg8000.native import identifier
from pyarrow import csv

from local.business import catalogue, history, trading
from local.business.connection import Connection, Cursor
from local.business.trading import Times

SEED = 20221103

_FOUNDED_AT = np.timedelta64(((16 * 60 + 41) * 60 + 27) * 1_000 + 318, "ms")
_FIRST_DESIGNS = 10


def seed(
    connection: Connection,
    *,
    until: date,
    days: int = trading.MEASURED_DAYS,
    scale: float = 1.0,
    seed: int = SEED,
) -> dict[str, int]:
    """Fills the source's tables and commits. The same arguments give the same rows.

    Another `until` moves the same history to other days: the number of orders, designs and payments stays.

    Args:
        connection: to a database with the source's schema and no rows.
        until: the last day of the history, inclusive; on a weekend, the Friday before.
        days: the number of working days. The back office opens on the working day before them.
        scale: the factor on the real business's orders; 1.0 gives about 21 sales and 9 purchases a working day. The
            number of people, places and designs does not depend on it.
        seed: the random numbers' seed.

    Returns:
        The number of rows written, by table.

    Raises:
        ValueError: scale or days is not above 0, or the source already has rows.
    """
    if scale <= 0 or days <= 0:
        raise ValueError(f"cannot seed {days} days of {scale} times the business: give numbers above 0")
    history_days = trading.working_days_until(until, days)
    try:
        with closing(connection.cursor()) as cursor:
            rows = _fill(cursor, np.random.default_rng(seed), history_days, scale)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return rows


def _fill(cursor: Cursor, rng: np.random.Generator, days: Times, scale: float) -> dict[str, int]:
    cursor.execute("SELECT count(*) FROM currency")
    if cursor.fetchone()[0]:
        raise ValueError("the source already has rows and a seed would mix with them: seed an empty database")
    restore = _drop_foreign_keys(cursor)
    founded = np.busday_offset(days[0], -1) + _FOUNDED_AT
    rows = _found_company(cursor, founded)
    design_moments = _draw_designs(cursor, rng, days, founded)
    rows["design"] = len(design_moments)
    rows |= dict.fromkeys(("sales_order", "purchase_order", "transaction", "payment"), 0)
    batches = trading.paid_batches(rng, days)
    for chunk in history.chunks(rng, days, scale):
        for table, columns in history.orders(rng, chunk, design_moments, batches, rows).items():
            rows[table] += _copy(cursor, table, columns)
    for statement in restore:
        cursor.execute(statement)
    for table, count in rows.items():
        if count:
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", (table, f"{table}_id", count))
    return rows


def _drop_foreign_keys(cursor: Cursor) -> list[str]:
    """Drops all foreign keys and returns the statements that restore them.

    For a million orders, checking the foreign keys row by row takes ten times as long as everything else. Restoring
    them at the end checks them in one pass.
    """
    cursor.execute(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),"
        " format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))"
        " FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"
        " ORDER BY conrelid::regclass::text, conname"
    )
    references = cursor.fetchall()
    for drop, _ in references:
        cursor.execute(drop)
    return [add for _, add in references]


def _found_company(cursor: Cursor, founded: np.datetime64) -> dict[str, int]:
    """Fills the tables that got their rows on the back office's first day, in two steps, and have not grown since."""
    later = founded + np.timedelta64(1_601, "ms")
    return {
        table: _copy(cursor, table, _master(table, names, records, moment))
        for table, names, records, moment in (
            ("address", catalogue.ADDRESS_COLUMNS, catalogue.ADDRESSES, founded),
            ("currency", ("currency_code",), [(code,) for code in catalogue.CURRENCIES], founded),
            ("department", catalogue.DEPARTMENT_COLUMNS, catalogue.DEPARTMENTS, founded),
            ("payment_type", ("payment_type_name",), [(name,) for name in catalogue.PAYMENT_TYPES], founded),
            ("counterparty", catalogue.COUNTERPARTY_COLUMNS, catalogue.COUNTERPARTIES, later),
            ("staff", catalogue.STAFF_COLUMNS, catalogue.STAFF, later),
        )
    }


def _master(table: str, names: tuple[str, ...], records: Any, moment: np.datetime64) -> dict[str, Any]:
    stamps = np.full(len(records), moment)
    columns = dict(zip(names, zip(*records, strict=True), strict=True))
    return {f"{table}_id": np.arange(1, len(records) + 1), **columns, "created_at": stamps, "last_updated": stamps}


def _draw_designs(cursor: Cursor, rng: np.random.Generator, days: Times, founded: np.datetime64) -> Times:
    """Writes all designs, and returns their creation times by ascending id."""
    count = round(trading.DESIGNS_A_DAY * len(days))
    later = trading.moments(rng, rng.choice(days, count))
    moments = np.concatenate([np.full(_FIRST_DESIGNS, founded), later])
    columns = trading.designs(rng, moments)
    _copy(cursor, "design", {"design_id": np.arange(1, len(moments) + 1), **columns})
    return moments


def _copy(cursor: Cursor, table: str, columns: Mapping[str, Any]) -> int:
    data = pa.table(dict(columns))
    rows = io.BytesIO()
    csv.write_csv(data, rows, csv.WriteOptions(include_header=False))
    names = ", ".join(identifier(column) for column in columns)
    cursor.execute(f"COPY {identifier(table)} ({names}) FROM STDIN (FORMAT csv)", stream=[rows.getvalue()])
    written: int = data.num_rows
    return written
