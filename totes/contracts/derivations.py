"""Calculates values that a column's type and origin alone can't describe."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from totes.contracts.currencies import currency_names


@dataclass(frozen=True)
class Derivation:
    """Makes a text from a text.

    Attributes:
        value: makes one value; returns None if there is none.
        sql: makes the same value in SQL, for `totes reconcile`; `{origin}` is the text.
        bound: the values of the SQL's parameters.
    """

    value: Callable[[str | None], str | None]
    sql: str
    bound: Callable[[], Mapping[str, str]]


# By the name that a declaration gives in `derive`.
DERIVATIONS: Mapping[str, Derivation] = {
    "currency_name": Derivation(
        lambda code: currency_names().get(code or ""),
        "CAST(:currency_names AS jsonb) ->> {origin}",
        lambda: {"currency_names": json.dumps(dict(currency_names()))},
    )
}
# The columns of a calendar, each a function of the day.
CALENDAR_COLUMNS: Mapping[str, Callable[[date], date | int | str]] = {
    "date_id": lambda day: day,
    "year": lambda day: day.year,
    "month": lambda day: day.month,
    "day": lambda day: day.day,
    "day_of_week": date.isoweekday,
    "day_name": lambda day: f"{day:%A}",
    "month_name": lambda day: f"{day:%B}",
    "quarter": lambda day: (day.month + 2) // 3,
}
