"""A question's answer: its rows, the batch they come from, and the kind of each column."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cli.charts.declaration import CURRENCY, Chart
from cli.charts.periods import period_of
from cli.charts.theme import SERIES
from cli.questions import Question
from cli.render.terminal import Row, cell, heading

if TYPE_CHECKING:
    from totes.postgres.driver import PipelineConnection

UNFINISHED = "unfinished"
_PERCENT = "percent_"
_SNAPSHOT = "SELECT batch_id, snapshot_at FROM etl.batch ORDER BY batch_id DESC LIMIT 1"


@dataclass(frozen=True)
class Answer:
    """The warehouse's answer to a question.

    Attributes:
        columns: the columns' names, in order.
        rows: each has a value for every column.
        batch, snapshot_at: the last loaded batch, and when its snapshot of totesys was taken.
    """

    question: Question
    columns: Sequence[str]
    rows: Sequence[Row]
    batch: int
    snapshot_at: datetime

    @property
    def name(self) -> str:
        return self.question.name

    @property
    def sentence(self) -> str:
        return self.question.sentence

    @property
    def chart(self) -> Chart | None:
        """Returns its chart; None if the question declares none.

        Raises:
            QuestionInvalid: the declaration is malformed, or does not fit the answer.
        """
        chart = self.question.chart
        if chart and self.rows:
            chart.check(self.columns, [column for column in self.columns if self.is_amount(column)])
            self._check_series(chart)
            self._check_periods(chart)
        return chart

    def _check_series(self, chart: Chart) -> None:
        if (count := len(self.series(chart))) > len(SERIES):
            raise chart.invalid(
                f"{chart.color} has {count} values, but there are only {len(SERIES)} distinguishable colours. Select "
                f"fewer values with a WHERE, or add {chart.color} to row instead."
            )

    def _check_periods(self, chart: Chart) -> None:
        category, _ = self.axes(chart)
        for panel in self.panels(chart):
            if not period_of(row[category] for row in panel.rows):
                continue
            drawn = Counter((row[category], row.get(chart.color or "")) for row in panel.rows)
            for (value, _), count in drawn.items():
                if count > 1:
                    raise chart.invalid(
                        f"a panel has several rows for {category} {value}: add a column to row or color."
                    )

    @property
    def as_of(self) -> str:
        """Returns the answer's batch and snapshot in words."""
        return f"batch {self.batch:,}, totesys as of {cell('', self.snapshot_at)}"

    def is_number(self, column: str) -> bool:
        """Returns whether a column has numbers other than ids."""
        values = [row[column] for row in self.rows if row[column] is not None]
        numeric = all(isinstance(value, int | Decimal) and not isinstance(value, bool) for value in values)
        return bool(values) and numeric and not column.endswith("_id")

    @property
    def numbers(self) -> list[str]:
        """Returns the columns that have numbers."""
        return [column for column in self.columns if self.is_number(column)]

    def is_amount(self, column: str) -> bool:
        """Returns whether a column has amounts of money: exact decimals in rows with a currency."""
        decimals = any(isinstance(row[column], Decimal) for row in self.rows)
        return CURRENCY in self.columns and decimals and not column.startswith(_PERCENT)

    def unit(self, column: str) -> str:
        """Returns a column's unit; empty if the rows have different units or none."""
        if column.startswith(_PERCENT):
            return "%"
        currencies = {row[CURRENCY] for row in self.rows} if self.is_amount(column) else set()
        return currencies.pop() if len(currencies) == 1 else ""

    def axes(self, chart: Chart) -> tuple[str, str]:
        """Returns a chart's category column and its quantity column.

        Raises:
            QuestionInvalid: neither column has numbers.
        """
        if self.is_number(chart.y):
            return chart.x, chart.y
        if self.is_number(chart.x):
            return chart.y, chart.x
        raise chart.invalid(f"neither {chart.x} nor {chart.y} has numbers, so there is nothing to draw.")

    @property
    def has_unfinished(self) -> bool:
        """Returns whether any row belongs to a month or quarter that is not over yet."""
        return UNFINISHED in self.columns and any(row[UNFINISHED] for row in self.rows)

    def panels(self, chart: Chart) -> list["Answer"]:
        """Splits the answer into one part for each of the chart's panels."""
        parts: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            parts.setdefault(tuple(row[column] for column in chart.row), []).append(row)
        return [replace(self, rows=rows) for rows in parts.values()]

    def series(self, chart: Chart) -> list[str]:
        """Returns the values that have a colour each, in the answer's order; none if the chart has one colour."""
        return (
            list(dict.fromkeys(cell(chart.color, row[chart.color]).plain for row in self.rows)) if chart.color else []
        )

    def names(self, chart: Chart, category: str) -> list[str]:
        """Returns each row's name. Numbers equal names, because the bars of equal names would be added up."""
        seen: Counter[tuple[str, Any]] = Counter()
        found = []
        for row in self.rows:
            name = cell(category, row[category]).plain
            key = (name, row.get(chart.color or ""))
            seen[key] += 1
            found.append(f"{name} ({seen[key]})" if seen[key] > 1 else name)
        return found

    def extent(self, *quantities: str) -> tuple[float, float]:
        """Returns the columns' minimum and maximum, extended to include zero."""
        values = [float(row[name]) for name in quantities for row in self.rows if row[name] is not None]
        return min(0.0, *values), max(0.0, *values)

    def label(self, chart: Chart) -> str:
        """Returns a panel's title: the values that its rows share."""
        return " · ".join(_in_words(cell(column, self.rows[0][column]).plain) for column in chart.row)


def _in_words(text: str) -> str:
    """Turns a code such as SALES_RECEIPT into words."""
    return heading(text).capitalize() if "_" in text and text.isupper() else text


def answer(connection: "PipelineConnection", question: Question, given: Mapping[str, str]) -> Answer:
    """Runs the question on the warehouse, in the connection's transaction.

    Args:
        given: the parameters' values by name, as texts.

    Raises:
        Misused: a parameter is missing, unknown, or of the wrong type.
        CommandFailed: the answer has no rows, and the question declares `No rows:`.
    """
    columns, rows = question.ask(connection, given)
    newest = connection.execute(_SNAPSHOT).one()
    return Answer(question, columns, rows, newest.batch_id, newest.snapshot_at)
