"""Texts that are months, quarters or days, which a chart draws as time."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Period:
    """A kind of time on an axis.

    Attributes:
        pattern: what its texts look like. A month's or a quarter's have the year, and its number in it.
        unit: of Vega-Lite.
        shown: how the axis shows it.
        months: how many a month or a quarter has.
    """

    pattern: re.Pattern[str]
    unit: str
    shown: str
    months: int = 1

    def begins(self, text: str) -> str:
        """Returns the first day of a period."""
        found = self.pattern.fullmatch(text)
        if not found or not found.groups():
            return text
        return f"{found[1]}-{(int(found[2]) - 1) * self.months + 1:02d}-01"


_PERIODS = (
    Period(re.compile(r"(\d{4})-(\d\d)"), "utcyearmonth", "%b %Y"),
    Period(re.compile(r"(\d{4}) Q([1-4])"), "utcyearquarter", "%Y Q%q", months=3),
    Period(re.compile(r"\d{4}-\d\d-\d\d"), "utcyearmonthdate", "%d %b %Y"),
)


def period_of(values: Iterable[object]) -> Period | None:
    """Returns the kind of time that all values are; None if they are names."""
    texts = [str(value) for value in values]
    return next((period for period in _PERIODS if all(map(period.pattern.fullmatch, texts))), None)
