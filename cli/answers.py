"""A question's answer: its rows, the moment that they are from, and how each column is to be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cli.charts.declaration import CURRENCY, Chart
from cli.questions import Question
from cli.render.terminal import Row, cell

if TYPE_CHECKING:
    from totes.postgres.driver import PipelineConnection

UNFINISHED = "unfinished"
_PERCENT = "percent_"
_SNAPSHOT = "SELECT batch_id, snapshot_at FROM etl.batch ORDER BY batch_id DESC LIMIT 1"


@dataclass(frozen=True)
class Answer:
    """What the warehouse answers.

    Attributes:
        columns: in order.
        rows: a value for each column.
        batch, snapshot_at: the newest batch that is loaded, and the moment of totesys that it shows.
    """

    question: Question
    columns: Sequence[str]
    rows: Sequence[Row]
    batch: int
    snapshot_at: datetime

    @property
    def chart(self) -> Chart | None:
        """Returns its chart; None if the question declares none.

        Raises:
            QuestionInvalid: the declaration is malformed, or does not fit the answer.
        """
        chart = self.question.chart
        if chart and self.rows:
            chart.check(self.columns, [column for column in self.columns if self.is_amount(column)])
        return chart

    @property
    def as_of(self) -> str:
        """Returns in words what the answer is from."""
        return f"batch {self.batch:,}, totesys as of {cell('', self.snapshot_at)}"

    def is_number(self, column: str) -> bool:
        """Returns whether a column has numbers, and not ids."""
        values = [row[column] for row in self.rows if row[column] is not None]
        numeric = all(isinstance(value, int | Decimal) and not isinstance(value, bool) for value in values)
        return bool(values) and numeric and not column.endswith("_id")

    @property
    def numbers(self) -> list[str]:
        """Returns the columns that have numbers."""
        return [column for column in self.columns if self.is_number(column)]

    def is_amount(self, column: str) -> bool:
        """Returns whether a column has amounts of money: exact decimals, of rows that have a currency."""
        decimals = any(isinstance(row[column], Decimal) for row in self.rows)
        return CURRENCY in self.columns and decimals and not column.startswith(_PERCENT)

    def unit(self, column: str) -> str:
        """Returns what a column's numbers are in, if that is the same for all rows; else nothing."""
        if column.startswith(_PERCENT):
            return "%"
        currencies = {row[CURRENCY] for row in self.rows} if self.is_amount(column) else set()
        return currencies.pop() if len(currencies) == 1 else ""

    def axes(self, chart: Chart) -> tuple[str, str]:
        """Returns which column of a chart is compared, and which is the quantity.

        Raises:
            QuestionInvalid: neither is a number.
        """
        if self.is_number(chart.y):
            return chart.x, chart.y
        if self.is_number(chart.x):
            return chart.y, chart.x
        raise chart.invalid(f"neither {chart.x} nor {chart.y} is a number, so there is nothing to draw.")

    @property
    def has_unfinished(self) -> bool:
        """Returns whether a row is of a month or quarter that is not over yet."""
        return UNFINISHED in self.columns and any(row[UNFINISHED] for row in self.rows)

    def panels(self, chart: Chart) -> list["Answer"]:
        """Returns the answer in parts, one for each panel of its chart."""
        parts: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            parts.setdefault(tuple(row[column] for column in chart.row), []).append(row)
        return [replace(self, rows=rows) for rows in parts.values()]

    def extent(self, quantity: str) -> tuple[float, float]:
        """Returns the least and the most of a column, and zero between them."""
        values = [float(row[quantity]) for row in self.rows if row[quantity] is not None]
        return min(0.0, *values), max(0.0, *values)

    def label(self, chart: Chart) -> str:
        """Returns what a panel is called: the values that its rows share."""
        return " · ".join(cell(column, self.rows[0][column]).plain for column in chart.row)


def answer(connection: "PipelineConnection", question: Question, given: Mapping[str, str]) -> Answer:
    """Asks the warehouse, within one transaction.

    Args:
        given: the parameters by their names, as texts.

    Raises:
        Misused: a parameter is missing, unknown, or of the wrong type.
        CommandFailed: there are no rows, and the question says why.
    """
    columns, rows = question.ask(connection, given)
    newest = connection.execute(_SNAPSHOT).one()
    return Answer(question, columns, rows, newest.batch_id, newest.snapshot_at)
