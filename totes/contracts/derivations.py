"""What a column's declaration can't say in its type and origin: values that are calculated."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from totes.contracts.currencies import currency_names


@dataclass(frozen=True)
class Derivation:
    """Makes a text of a text.

    Attributes:
        value: makes one value; None if it can't be made.
        sql: the same in SQL, for `totes reconcile`; `{origin}` is the text.
        bound: the values of the SQL's parameters.
    """

    value: Callable[[str | None], str | None]
    sql: str
    bound: Callable[[], Mapping[str, str]]


# Named by `derive`.
DERIVATIONS: Mapping[str, Derivation] = {
    "currency_name": Derivation(
        lambda code: currency_names().get(code or ""),
        "CAST(:currency_names AS jsonb) ->> {origin}",
        lambda: {"currency_names": json.dumps(dict(currency_names()))},
    )
}
# What a calendar can say of a day.
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
