"""How things look on a terminal, and how they are written for a script."""

import csv
import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from totes.runtime.redaction import visible, visible_line

# Where the output is not a terminal there is no width to ask for, and 80 columns would squeeze the tables.
WIDTH_WITHOUT_TERMINAL = 110
# Columns of a terminal that is never too narrow.
UNBOUNDED = 10_000

Row = Mapping[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, and nothing else.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Write CSV to stdout, and nothing else.")]


class Screen(Console):
    """Shows what is in data and obeys none of it: no markup, no emoji codes, no escape sequences."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, crop: bool = False, **options: Any) -> None:
        """Leaves it to the terminal to wrap a table that is too wide: better than words and figures cut short."""
        super().print(*objects, crop=crop, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Everything that is printed passes here, before it is laid out: the cells of tables, too."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def screen(**options: Any) -> Console:
    """The console for what a person reads: stdout, plain and of one width where that is no terminal."""
    return Screen(width=None if has_width() else WIDTH_WITHOUT_TERMINAL, **options)


def has_width() -> bool:
    """Whether there is a width to keep to: stdout is a terminal, or COLUMNS says how wide it is."""
    columns = os.environ.get("COLUMNS", "")
    return sys.stdout.isatty() or (columns.isdigit() and int(columns) > 0)


def complaints(**options: Any) -> Console:
    """The console for errors and for what is being done: stderr."""
    return Screen(stderr=True, **options)


def prepare_streams() -> None:
    """Makes every text printable: a character that the encoding lacks becomes its code. Replaces closed streams."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say_error(line: str) -> None:
    """One line on stderr, never wrapped."""
    complaints(soft_wrap=True).print(Text("totes: ", "bold red") + Text(visible_line(line)))


def say_warning(line: str) -> None:
    """One line on stderr, never wrapped, of something that ends no command."""
    complaints(soft_wrap=True).print(Text("totes: ", "bold yellow") + Text(visible_line(line)))


def say_json(document: object) -> None:
    """Pure JSON on stdout. Decimals are numbers with all their digits; moments are ISO 8601."""
    # The standard library has no way to write a Decimal as it is.
    import simplejson

    # JSON has its own escapes for characters that the encoding lacks.
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    text = simplejson.dumps(
        document, indent=2, ensure_ascii=ascii_only, default=_json_value, use_decimal=True, namedtuple_as_object=False
    )
    # And for all that a terminal obeys, so that readers get the same characters.
    typer.echo("".join(letter if visible(letter) == letter else f"\\u{ord(letter):04x}" for letter in text))


def say_csv(columns: Sequence[str], rows: Iterable[Row]) -> None:
    """CSV with a header on stdout."""
    text = csv_text(columns, rows)
    # CSV has no escapes, so a file gets the very characters. typer.echo would leave out escape sequences.
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)


def csv_text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """CSV with a header; NULL is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class FirstThatFits:
    """The first of some tables that can be as narrow as the terminal; else the last of the renderables."""

    def __init__(self, *choices: RenderableType) -> None:
        self._choices = choices

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded = options.update(max_width=UNBOUNDED)
        fitting = (it for it in self._choices if Measurement.get(console, unbounded, it).minimum <= options.max_width)
        yield next(fitting, self._choices[-1])


class _PlainTable(Table):
    """A table that cuts no word in two, but in a column that folds.

    Rich narrows the widest columns first, whatever their words need.
    """

    def add_column(self, header: RenderableType = "", *arguments: Any, **options: Any) -> None:
        options["min_width"] = max(options.get("min_width") or 0, longest_word([str(header)]))
        super().add_column(header, *arguments, **options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Narrows the columns that have most to spare. If none has, the terminal wraps the lines."""
        unbounded = options.update(max_width=UNBOUNDED)
        if self.__rich_measure__(console, unbounded).maximum <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        needs = [_needed(console, unbounded, column) for column in self.columns]
        narrowed = self._with_widths([need.minimum for need in needs])
        between = narrowed.__rich_measure__(console, unbounded).maximum - sum(need.minimum for need in needs)
        narrowed = self._with_widths(_narrowed(needs, options.max_width - between))
        yield from Table.__rich_console__(narrowed, console, unbounded)

    def _with_widths(self, widths: Sequence[int]) -> "_PlainTable":
        table = copy(self)
        table.columns = [copy(column) for column in self.columns]
        for column, width in zip(table.columns, widths, strict=True):
            column.width = width
        return table


def _needed(console: Console, options: ConsoleOptions, column: Column) -> Measurement:
    """How wide a column must be and would be."""
    cells = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
    least = column.min_width or 0
    words = [] if column.overflow == "fold" else [cell.maximum if column.no_wrap else cell.minimum for cell in cells]
    return Measurement(max([least, *words]), max([least, *(cell.maximum for cell in cells)]))


def _narrowed(needs: Sequence[Measurement], room: int) -> list[int]:
    # A bar would be as wide as there is room.
    widths = [max(need.minimum, min(need.maximum, room)) for need in needs]
    for _ in range(sum(widths) - room):
        spare = [width - need.minimum for width, need in zip(widths, needs, strict=True)]
        if not any(spare):
            break
        widths[spare.index(max(spare))] -= 1
    return widths


def plain_table(title: str | None = None) -> Table:
    """The one look that all tables have."""
    return _PlainTable(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def rows_table(columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """A table of query results: numbers to the right, and neither numbers nor words cut in two."""
    table = plain_table()
    for column in columns:
        numeric = all(isinstance(row[column], int | Decimal | None) for row in rows)
        longest = longest_word(_worded(column, row[column]) for row in rows)
        table.add_column(heading(column), justify="right" if numeric else "left", overflow="fold", min_width=longest)
    for row in rows:
        table.add_row(*(cell(column, row[column]) for column in columns))
    return table


def records_table(columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """The same turned on its side, for rows that are too wide: a line for each column."""
    table = plain_table()
    table.add_column("", min_width=longest_word(map(heading, columns)))
    for row in rows:
        longest = longest_word(_worded(column, row[column]) for column in columns)
        table.add_column("", overflow="fold", min_width=longest)
    for column in columns:
        table.add_row(Text(heading(column), "dim"), *(cell(column, row[column]) for row in rows))
    return table


def heading(column: str) -> str:
    """A column's name in words."""
    return visible(column.replace("_", " "))


def cell(column: str, value: object) -> Text:
    """A value as a person reads it: thousands apart, UTC named, NULL as a dash. Never markup."""
    return Text(_worded(column, value))


def shown(value: object, column: str = "") -> str:
    """The same as a text, for pages: a filter of templates, so the value comes first."""
    return _worded(column, value)


def took(seconds: float | None) -> str:
    """A duration with as much precision as is of interest."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else ago(timedelta(seconds=seconds))


def ago(span: timedelta) -> str:
    """An age in its two largest units."""
    seconds = int(span.total_seconds())
    counts = (seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60)
    units = list(zip(counts, ("d", "h", "min", "s"), strict=True))
    first = next((index for index, count in enumerate(counts) if count), len(counts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2])


def longest_word(texts: Iterable[str]) -> int:
    """The width of the longest word, which a column needs so that no word is cut."""
    return max((cell_len(word) for text in texts for word in text.split()), default=0)


def _worded(column: str, value: object) -> str:
    match value:
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case int() if column.split("_")[-1] == "id":
            return str(value)
        case int() | Decimal():
            return f"{value:,}"
        case datetime() if value.tzinfo:
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        case datetime():
            return value.isoformat(" ", "milliseconds")
        case _:
            return visible(str(value))


def _json_value(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value)
