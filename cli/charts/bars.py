"""Draws a question's chart on a terminal: a text bar for each row, by panel and series."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.answers import UNFINISHED, Answer
from cli.charts.declaration import CURRENCY, Chart
from cli.render.terminal import Row, cell, heading, longest_word, plain_table

_NARROWEST = 10
# Block characters divide a cell into this many parts.
_PARTS = 8


@dataclass(frozen=True)
class _Series:
    """A series: its label, its quantity's column, and its rows as (name, row)."""

    label: str
    quantity: str
    rows: Sequence[tuple[Text, Row]]


class _Bar:
    """A bar from zero to a value. It is visible unless the value is zero.

    It consists of number signs if the terminal's encoding lacks block characters.
    """

    def __init__(self, value: float, low: float, high: float, style: str) -> None:
        self._size = high - low
        self._begin, self._end = min(value, 0.0) - low, max(value, 0.0) - low
        self._style = style

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(_NARROWEST, options.max_width), options.max_width)

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        if self._begin == self._end:
            return
        cells = options.max_width * (1 if options.ascii_only else _PARTS)
        begin, end = (round(place / self._size * cells) for place in (self._begin, self._end))
        begin = min(begin, cells - 1)
        end = max(end, begin + 1)
        if options.ascii_only:
            yield Text(" " * begin + "#" * (end - begin), self._style)
        else:
            yield Bar(cells, begin, end, color=self._style)


def bars(answer: Answer, chart: Chart) -> Iterator[Table]:
    """Yields a table for each panel. Panels of different currencies have separate scales; others share one."""
    _, quantity = answer.axes(chart)
    quantities = chart.folded or (quantity,)
    for panel in answer.panels(chart):
        scaled = panel if CURRENCY in chart.row else answer
        yield _table(panel, chart, quantities, scaled.extent(*quantities))


def count_bars(answer: Answer, chart: Chart) -> int:
    """Returns the chart's number of bars."""
    return len(answer.rows) * max(1, len(chart.folded))


def _table(panel: Answer, chart: Chart, quantities: Sequence[str], extent: tuple[float, float]) -> Table:
    category, quantity = panel.axes(chart)
    series, unit = _series(panel, chart, category, quantities), panel.unit(quantities[0])
    table = plain_table(panel.label(chart) or None)
    words = longest_word([*(name.plain for one in series for name, _ in one.rows), *(one.label for one in series)])
    table.add_column(heading(category), overflow="fold", min_width=words)
    table.add_column(
        ", ".join(filter(None, ("" if chart.folded else heading(quantity), unit))), justify="right", no_wrap=True
    )
    table.add_column("")
    for one in series:
        if one.label:
            table.add_row(Text(one.label, "bold"), "", "")
        for name, row in one.rows:
            style = "bright_black" if row.get(UNFINISHED) else "blue"
            bar = _Bar(float(row[one.quantity] or 0), *extent, style)
            table.add_row(name, cell(one.quantity, row[one.quantity]), bar)
    return table


def _series(panel: Answer, chart: Chart, category: str, quantities: Sequence[str]) -> list[_Series]:
    """Groups the rows by the chart's colour column, or repeats them for each folded quantity."""
    rows = [(_name(name, row), row) for name, row in zip(panel.names(chart, category), panel.rows, strict=True)]
    if chart.folded:
        return [_Series(heading(column), column, rows) for column in quantities]
    if not chart.color:
        return [_Series("", quantities[0], rows)]
    return [
        _Series(
            label,
            quantities[0],
            [(name, row) for name, row in rows if cell(chart.color, row[chart.color]).plain == label],
        )
        for label in panel.series(chart)
    ]


def _name(name: str, row: Row) -> Text:
    return Text(name).append(" (unfinished)", "dim") if row.get(UNFINISHED) else Text(name)
