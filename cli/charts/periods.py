"""Recognises texts that are months, quarters or days, which a chart draws as time."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Period:
    """A kind of period on an axis.

    Attributes:
        pattern: matches its texts. For months and quarters, the groups are the year and the period's number.
        unit: Vega-Lite's time unit.
        shown: the axis labels' format.
        months: the period's length in months, for months and quarters.
    """

    pattern: re.Pattern[str]
    unit: str
    shown: str
    months: int = 1

    def begins(self, text: str) -> str:
        """Returns a period's first day."""
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
    """Returns the kind of period that all values match; None if there is none."""
    texts = [str(value) for value in values]
    return next((period for period in _PERIODS if all(map(period.pattern.fullmatch, texts))), None)
