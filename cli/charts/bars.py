"""A question's chart on a terminal: a bar of text for each row, panel by panel."""

from collections.abc import Iterator

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.answers import UNFINISHED, Answer
from cli.charts.declaration import CURRENCY, Chart
from cli.render.terminal import Row, cell, heading, longest_word, plain_table

_NARROWEST = 10


class _Bar:
    """A bar from zero to a value; of number signs if the terminal's encoding has no blocks."""

    def __init__(self, value: float, low: float, high: float, style: str) -> None:
        self._size = high - low
        self._begin, self._end = min(value, 0.0) - low, max(value, 0.0) - low
        self._style = style

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(_NARROWEST, options.max_width), options.max_width)

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        if not self._size:
            return
        if options.ascii_only:
            begin, end = (round(place / self._size * options.max_width) for place in (self._begin, self._end))
            yield Text(" " * begin + "#" * (end - begin), self._style)
        else:
            yield Bar(self._size, self._begin, self._end, color=self._style)


def bars(answer: Answer, chart: Chart) -> Iterator[Table]:
    """Returns a table for each panel. Panels of different currencies have a scale each, others share one."""
    category, quantity = answer.axes(chart)
    panels = answer.panels(chart)
    for panel in panels:
        scaled = panel if CURRENCY in chart.row else answer
        yield _table(panel, chart, category, quantity, scaled.extent(quantity))


def _table(panel: Answer, chart: Chart, category: str, quantity: str, extent: tuple[float, float]) -> Table:
    unit, named = panel.unit(quantity), (category, *([chart.color] if chart.color else []))
    table = plain_table(panel.label(chart) or None)
    for column in named:
        words = longest_word(_name(row, column, category).plain for row in panel.rows)
        table.add_column(heading(column), overflow="fold", min_width=words)
    table.add_column(heading(quantity) + (f", {unit}" if unit else ""), justify="right", no_wrap=True)
    table.add_column("")
    for row in panel.rows:
        names = [_name(row, column, category) for column in named]
        style = "bright_black" if row.get(UNFINISHED) else "blue"
        table.add_row(*names, cell(quantity, row[quantity]), _Bar(float(row[quantity] or 0), *extent, style))
    return table


def _name(row: Row, column: str, category: str) -> Text:
    name = cell(column, row[column])
    return name.append(" (unfinished)", "dim") if column == category and row.get(UNFINISHED) else name
