"""Formats output for a terminal, and as JSON or CSV for a script."""

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

# Without a terminal the width is unknown, and 80 columns would squeeze the tables.
WIDTH_WITHOUT_TERMINAL = 110
# A width that is never too narrow.
UNBOUNDED = 10_000

Row = Mapping[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="Write only JSON to stdout.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Write only CSV to stdout.")]


class Screen(Console):
    """A console that prints data literally: without markup, emoji codes or escape sequences."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, crop: bool = False, **options: Any) -> None:
        """Prints without cropping: the terminal wraps a table that is too wide, and no word or figure is cut."""
        super().print(*objects, crop=crop, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Makes control characters visible in all output, including table cells, before the layout."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def screen(**options: Any) -> Console:
    """Returns the console for stdout: plain and with a fixed width if stdout is not a terminal."""
    return Screen(width=None if has_width() else WIDTH_WITHOUT_TERMINAL, **options)


def has_width() -> bool:
    """Returns whether the width is known: stdout is a terminal, or COLUMNS is set."""
    columns = os.environ.get("COLUMNS", "")
    return sys.stdout.isatty() or (columns.isdigit() and int(columns) > 0)


def complaints(**options: Any) -> Console:
    """Returns the console for errors and progress: stderr."""
    return Screen(stderr=True, **options)


def prepare_streams() -> None:
    """Makes every text printable: escapes characters that the encoding lacks, and replaces closed streams."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say_error(line: str) -> None:
    """Prints an error on one line of stderr, not wrapped."""
    complaints(soft_wrap=True).print(Text("totes: ", "bold red") + Text(visible_line(line)))


def say_warning(line: str) -> None:
    """Prints a warning on one line of stderr, not wrapped."""
    complaints(soft_wrap=True).print(Text("totes: ", "bold yellow") + Text(visible_line(line)))


def say_json(document: object) -> None:
    """Writes JSON to stdout. Decimals are numbers with all digits; times are ISO 8601."""
    # The standard library can't write an exact Decimal.
    import simplejson

    # JSON can escape characters that the encoding lacks.
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    text = simplejson.dumps(
        document, indent=2, ensure_ascii=ascii_only, default=_json_value, use_decimal=True, namedtuple_as_object=False
    )
    # Also escapes control characters, so that a terminal ignores them and JSON readers still get them.
    typer.echo("".join(letter if visible(letter) == letter else f"\\u{ord(letter):04x}" for letter in text))


def say_csv(columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Writes CSV with a header to stdout."""
    text = csv_text(columns, rows)
    # CSV has no escapes, so a file gets the characters unchanged. typer.echo would drop escape sequences.
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)


def csv_text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Returns CSV with a header; NULL is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class FirstThatFits:
    """Shows the first choice that fits the terminal's width; else the last choice."""

    def __init__(self, *choices: RenderableType) -> None:
        self._choices = choices

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded = options.update(max_width=UNBOUNDED)
        fitting = (it for it in self._choices if Measurement.get(console, unbounded, it).minimum <= options.max_width)
        yield next(fitting, self._choices[-1])


class _PlainTable(Table):
    """A table that breaks words only in columns that fold.

    Rich would narrow the widest columns first, regardless of their words.
    """

    def add_column(self, header: RenderableType = "", *arguments: Any, **options: Any) -> None:
        options["min_width"] = max(options.get("min_width") or 0, longest_word([str(header)]))
        super().add_column(header, *arguments, **options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Narrows the columns with the most room to spare. If there are none, the terminal wraps the lines."""
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
    """Returns a column's minimum and preferred width."""
    cells = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
    least = column.min_width or 0
    words = [] if column.overflow == "fold" else [cell.maximum if column.no_wrap else cell.minimum for cell in cells]
    return Measurement(max([least, *words]), max([least, *(cell.maximum for cell in cells)]))


def _narrowed(needs: Sequence[Measurement], room: int) -> list[int]:
    # A bar's preferred width is all the room.
    widths = [max(need.minimum, min(need.maximum, room)) for need in needs]
    for _ in range(sum(widths) - room):
        spare = [width - need.minimum for width, need in zip(widths, needs, strict=True)]
        if not any(spare):
            break
        widths[spare.index(max(spare))] -= 1
    return widths


def plain_table(title: str | None = None) -> Table:
    """Returns an empty table in the common style."""
    return _PlainTable(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def rows_table(columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """Returns a table of query results. Aligns numbers right and breaks neither numbers nor words."""
    table = plain_table()
    for column in columns:
        numeric = all(isinstance(row[column], int | Decimal | None) for row in rows)
        longest = longest_word(_worded(column, row[column]) for row in rows)
        table.add_column(heading(column), justify="right" if numeric else "left", overflow="fold", min_width=longest)
    for row in rows:
        table.add_row(*(cell(column, row[column]) for column in columns))
    return table


def records_table(columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """Returns a transposed table of query results, for rows that are too wide: one line for each column."""
    table = plain_table()
    table.add_column("", min_width=longest_word(map(heading, columns)))
    for row in rows:
        longest = longest_word(_worded(column, row[column]) for column in columns)
        table.add_column("", overflow="fold", min_width=longest)
    for column in columns:
        table.add_row(Text(heading(column), "dim"), *(cell(column, row[column]) for row in rows))
    return table


def heading(column: str) -> str:
    """Returns a column's name in words."""
    return visible(column.replace("_", " "))


def cell(column: str, value: object) -> Text:
    """Formats a value: thousands separators, times in UTC, NULL as a dash. Never interprets markup."""
    return Text(_worded(column, value))


def shown(value: object, column: str = "") -> str:
    """Formats a value as `cell` does, but as a string, for pages. Templates use it as a filter."""
    return _worded(column, value)


def took(seconds: float | None) -> str:
    """Formats a duration: in ms below 1 s, in tenths of a second below 1 min, else in its two largest units."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else ago(timedelta(seconds=seconds))


def ago(span: timedelta) -> str:
    """Formats an age in its two largest units."""
    seconds = int(span.total_seconds())
    counts = (seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60)
    units = list(zip(counts, ("d", "h", "min", "s"), strict=True))
    first = next((index for index, count in enumerate(counts) if count), len(counts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2])


def longest_word(texts: Iterable[str]) -> int:
    """Returns the longest word's width: a narrower column would break it."""
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
