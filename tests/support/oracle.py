"""The expected content of the warehouse, calculated from pictures of totesys.

It is plain Python without any code of totes: neither its declarations nor its SQL. So a mistake in either shows as a
difference.
"""

import calendar
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

# A row of totesys, with every value as PostgreSQL prints it.
SourceRow = Mapping[str, str | None]
Rows = Mapping[int, SourceRow]
# The quarantined rows by batch, as (table, key): {batch: {("payment", 7)}}.
QuarantinedRow = Mapping[int, set[tuple[str, int]]]
# A column of the warehouse: its origin, and the function that makes the text a value.
Columns = Mapping[str, tuple[str, Callable[[Any], Any]]]

_STAMPS = "created_at last_updated"
SOURCE = {
    table: tuple(f"{table}_id {columns} {_STAMPS}".split())
    for table, columns in {
        "address": "address_line_1 address_line_2 district city postal_code country phone",
        "counterparty": "counterparty_legal_name legal_address_id commercial_contact delivery_contact",
        "currency": "currency_code",
        "department": "department_name location manager",
        "design": "design_name file_location file_name",
        "payment_type": "payment_type_name",
        "staff": "first_name last_name department_id email_address",
        "purchase_order": "staff_id counterparty_id item_code item_quantity item_unit_price currency_id "
        "agreed_delivery_date agreed_payment_date agreed_delivery_location_id",
        "sales_order": "design_id staff_id counterparty_id units_sold unit_price currency_id "
        "agreed_delivery_date agreed_payment_date agreed_delivery_location_id",
        "transaction": "transaction_type sales_order_id purchase_order_id",
        "payment": "transaction_id counterparty_id payment_amount currency_id payment_type_id paid payment_date "
        "company_ac_number counterparty_ac_number",
    }.items()
}
# The columns that are added up to reconcile; they have the same name in both databases.
MEASURES: dict[str, tuple[str, ...]] = {
    "sales_order": ("units_sold", "unit_price"),
    "purchase_order": ("item_quantity", "item_unit_price"),
    "payment": ("payment_amount",),
}
CURRENCY_NAMES = {
    "GBP": "Pound Sterling",
    "USD": "US Dollar",
    "EUR": "Euro",
    "CHF": "Swiss Franc",
    "JPY": "Yen",
    "KRW": "Won",
}


@dataclass(frozen=True)
class Picture:
    """All rows of totesys at one moment."""

    taken_at: datetime
    tables: Mapping[str, Rows]


@dataclass(frozen=True)
class Fact:
    source: str
    columns: Columns


@dataclass(frozen=True)
class Dimension:
    """`parent` is the joined table, by the column of the source that holds its key."""

    source: str
    columns: Columns
    parent: tuple[str, str] | None = None


def _day(stamp: str) -> date:
    return datetime.fromisoformat(stamp).date()


def _clock(stamp: str) -> time:
    return datetime.fromisoformat(stamp).time()


def _id(text: str | None) -> int | None:
    return None if text is None else int(text)


def _as_is(text: str | None) -> str | None:
    return text


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _known(text: str | None) -> str:
    return "Unknown" if text is None else text


_WHEN: Columns = {
    "created_date": ("created_at", _day),
    "created_time": ("created_at", _clock),
    "last_updated_date": ("last_updated", _day),
    "last_updated_time": ("last_updated", _clock),
}
_AGREED: Columns = {
    "agreed_payment_date": ("agreed_payment_date", date.fromisoformat),
    "agreed_delivery_date": ("agreed_delivery_date", date.fromisoformat),
    "agreed_delivery_location_id": ("agreed_delivery_location_id", int),
}
_PARTIES: Columns = {"counterparty_id": ("counterparty_id", int), "currency_id": ("currency_id", int)}

FACTS = {
    "fact_sales_order": Fact(
        "sales_order",
        {
            "sales_order_id": ("sales_order_id", int),
            "sales_staff_id": ("staff_id", int),
            "design_id": ("design_id", int),
            "units_sold": ("units_sold", int),
            "unit_price": ("unit_price", Decimal),
            **_WHEN,
            **_AGREED,
            **_PARTIES,
        },
    ),
    "fact_purchase_order": Fact(
        "purchase_order",
        {
            "purchase_order_id": ("purchase_order_id", int),
            "staff_id": ("staff_id", int),
            "item_code": ("item_code", _as_is),
            "item_quantity": ("item_quantity", int),
            "item_unit_price": ("item_unit_price", Decimal),
            **_WHEN,
            **_AGREED,
            **_PARTIES,
        },
    ),
    "fact_payment": Fact(
        "payment",
        {
            "payment_id": ("payment_id", int),
            "transaction_id": ("transaction_id", int),
            "payment_amount": ("payment_amount", Decimal),
            "payment_type_id": ("payment_type_id", int),
            "paid": ("paid", _truth),
            "payment_date": ("payment_date", date.fromisoformat),
            **_WHEN,
            **_PARTIES,
        },
    ),
}

# Names of the joined table's columns begin with its name.
DIMENSIONS = {
    "dim_staff": Dimension(
        "staff",
        {
            "staff_id": ("staff_id", int),
            "first_name": ("first_name", _as_is),
            "last_name": ("last_name", _as_is),
            "department_name": ("department.department_name", _as_is),
            "location": ("department.location", _known),
            "email_address": ("email_address", _as_is),
        },
        ("department", "department_id"),
    ),
    "dim_counterparty": Dimension(
        "counterparty",
        {
            "counterparty_id": ("counterparty_id", int),
            "counterparty_legal_name": ("counterparty_legal_name", _as_is),
            "counterparty_legal_address_line_1": ("address.address_line_1", _as_is),
            "counterparty_legal_address_line_2": ("address.address_line_2", _as_is),
            "counterparty_legal_district": ("address.district", _as_is),
            "counterparty_legal_city": ("address.city", _as_is),
            "counterparty_legal_postal_code": ("address.postal_code", _as_is),
            "counterparty_legal_country": ("address.country", _as_is),
            "counterparty_legal_phone_number": ("address.phone", _as_is),
        },
        ("address", "legal_address_id"),
    ),
    "dim_location": Dimension(
        "address",
        {
            "location_id": ("address_id", int),
            **{name: (name, _as_is) for name in SOURCE["address"][1:-2]},
        },
    ),
    "dim_currency": Dimension(
        "currency",
        {
            "currency_id": ("currency_id", int),
            "currency_code": ("currency_code", _as_is),
            "currency_name": ("currency_code", CURRENCY_NAMES.__getitem__),
        },
    ),
    "dim_design": Dimension(
        "design",
        {"design_id": ("design_id", int), **{name: (name, _as_is) for name in SOURCE["design"][1:-2]}},
    ),
    "dim_payment_type": Dimension(
        "payment_type",
        {"payment_type_id": ("payment_type_id", int), "payment_type_name": ("payment_type_name", _as_is)},
    ),
    "dim_transaction": Dimension(
        "transaction",
        {
            "transaction_id": ("transaction_id", int),
            "transaction_type": ("transaction_type", _as_is),
            "sales_order_id": ("sales_order_id", _id),
            "purchase_order_id": ("purchase_order_id", _id),
        },
    ),
}
CALENDAR = ("date_id", "year", "month", "day", "day_of_week", "day_name", "month_name", "quarter")


@dataclass(frozen=True)
class Version:
    """One version of a fact: the batches that brought and ended it, and whether a deletion ended it."""

    batch: int
    values: tuple[Any, ...]
    ended: int | None = None
    deleted: bool = False


def admitted(history: Sequence[Picture], quarantined: QuarantinedRow) -> list[Picture]:
    """Returns the pictures of batches 1, 2, 3 …, as the pipeline takes the rows.

    A quarantined row keeps its earlier values, or is not there, until it changes.
    """
    aside: dict[tuple[str, int], SourceRow] = {}
    effective: list[Picture] = []
    for batch, picture in enumerate(history, start=1):
        tables = {name: dict(rows) for name, rows in picture.tables.items()}
        fresh = {(table, key): picture.tables[table][key] for table, key in quarantined.get(batch, ())}
        aside = {at: row for at, row in aside.items() if picture.tables[at[0]].get(at[1]) == row} | fresh
        for table, key in aside:
            before = effective[-1].tables[table].get(key) if effective else None
            if before is None:
                del tables[table][key]
            else:
                tables[table][key] = before
        effective.append(Picture(picture.taken_at, tables))
    return effective


def versions(fact: Fact, history: Sequence[Picture]) -> dict[int, list[Version]]:
    """Returns every version of every business id that a snapshot saw, in order."""
    found: dict[int, list[Version]] = {}
    for batch, picture in enumerate(history, start=1):
        rows = picture.tables[fact.source]
        for key, row in rows.items():
            values, before = _values(fact.columns, row), found.setdefault(key, [])
            if before and not before[-1].deleted and before[-1].values == values:
                continue
            if before and not before[-1].deleted:
                before[-1] = Version(before[-1].batch, before[-1].values, ended=batch)
            before.append(Version(batch, values))
        for key in found.keys() - rows.keys():
            last = found[key][-1]
            if not last.deleted:
                found[key][-1] = Version(last.batch, last.values, ended=batch, deleted=True)
    return found


def latest(dimension: Dimension, history: Sequence[Picture]) -> dict[int, tuple[Any, ...]]:
    """Returns the last row of every key that a snapshot saw, with the row that it was joined with then; deleted rows
    stay.
    """
    found: dict[int, tuple[Any, ...]] = {}
    for picture in history:
        for key, row in picture.tables[dimension.source].items():
            found[key] = _values(dimension.columns, _joined(dimension, row, picture))
    return found


def tombstones(table: str, source: str, history: Sequence[Picture]) -> set[tuple[str, int, int, int | None]]:
    """Returns (table, id, batch, the batch of its return) of every disappearance; a fact returns as a new version."""
    return {
        (table, key, batch, None if table in FACTS else _return(source, key, batch, history))
        for batch, (before, now) in enumerate(itertools.pairwise(history), start=2)
        for key in before.tables[source].keys() - now.tables[source].keys()
    }


def _return(source: str, key: int, batch: int, history: Sequence[Picture]) -> int | None:
    later = enumerate(history[batch:], start=batch + 1)
    return next((number for number, picture in later if key in picture.tables[source]), None)


def gone_at_once(before: Picture, now: Picture) -> dict[str, int]:
    """Returns how many rows are gone, by table, for tables that lost more than is deleted without confirmation."""
    found = {table: len(rows.keys() - now.tables[table].keys()) for table, rows in before.tables.items()}
    return {table: gone for table, gone in found.items() if gone > max(100, len(before.tables[table]) / 10)}


def days(facts: Iterable[Mapping[int, list[Version]]]) -> list[tuple[Any, ...]]:
    """Returns the calendar: all days of each year that any date of any version falls in."""
    years = {
        value.year
        for found in facts
        for of_one in found.values()
        for version in of_one
        for value in version.values
        if isinstance(value, date)
    }
    return [day for year in sorted(years) for day in _year(year)]


def sums(table: str, rows: Rows) -> tuple[Any, ...]:
    """Returns the number of rows, and the sum of each measure."""
    return (
        len(rows),
        *(sum((Decimal(row[name] or 0) for row in rows.values()), Decimal()) for name in _measures(table)),
    )


def _measures(table: str) -> tuple[str, ...]:
    return MEASURES.get(table, ())


def _values(columns: Columns, row: SourceRow) -> tuple[Any, ...]:
    return tuple(convert(row[name]) for name, convert in columns.values())


def _joined(dimension: Dimension, row: SourceRow, picture: Picture) -> SourceRow:
    if dimension.parent is None:
        return row
    parent, column = dimension.parent
    beside = picture.tables[parent][int(row[column] or 0)]
    return {**row, **{f"{parent}.{name}": value for name, value in beside.items()}}


@cache
def _year(year: int) -> list[tuple[Any, ...]]:
    first = date(year, 1, 1)
    return [_calendar_row(first + timedelta(days=number)) for number in range(365 + calendar.isleap(year))]


def _calendar_row(day: date) -> tuple[Any, ...]:
    names = calendar.day_name[day.weekday()], calendar.month_name[day.month]
    return (day, day.year, day.month, day.day, day.isoweekday(), *names, (day.month - 1) // 3 + 1)


def utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def changed(before: Picture, now: Picture) -> Iterator[str]:
    """Returns the differences between two pictures, for a person to read."""
    for table in SOURCE:
        for key in sorted(before.tables[table].keys() | now.tables[table].keys()):
            if before.tables[table].get(key) != now.tables[table].get(key):
                yield f"{table} {key}"
