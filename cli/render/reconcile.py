"""How a reconciliation looks on a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.render.terminal import FirstThatFits, cell, has_width, plain_table
from cli.starting import command
from totes.contracts.declarations import warehouse_tables
from totes.errors import shortened
from totes.runtime.redaction import visible
from totes.verify.reconcile.result import Keys, Reconciliation, Sums, TableDifferences

# The fields of a comparison that say what is wrong; their names are the words for it.
WRONG = ("missing", "extra", "differing")
_LONGEST_VALUE = 500
_HEADINGS = ("warehouse table", "totesys table", "in totesys", "current in the warehouse", *WRONG, "on their way")


class Compared(Protocol):
    """A table that was compared, whatever with; it has the fields of WRONG, and in each of them how many `rows`."""

    @property
    def table(self) -> str: ...

    @property
    def agrees(self) -> bool: ...


def show_reconciliation(console: Console, found: Reconciliation) -> None:
    """A line for each table, then what is not the same in it and what to do, and at the end whether they agree."""
    compared = cell("", found.totesys_at)
    console.print(Text(f"The warehouse with batch {found.batch} beside totesys at {compared}", "bold"))
    console.print(FirstThatFits(*_counts_tables(found)))
    for table in found.tables:
        for line in _details(table):
            console.print(line, soft_wrap=not has_width())
        if table.cells:
            console.print(_cells_table(table))
    if sums := [(table.table, *sums) for table in found.tables for sums in table.sums.items() if _apart(sums[1])]:
        console.print(_sums_table(sums))
    for line in _remedies(found):
        # Never wrapped: a command is copied whole.
        console.print(line, soft_wrap=True)
    console.print(_verdict(found), soft_wrap=not has_width())


def _counts_tables(found: Reconciliation) -> Iterator[Table]:
    """Yields the table with all columns, and then with ever fewer: first go those that say least."""
    rows = [_counts_row(row) for row in found.tables]
    idle = {heading for heading in _HEADINGS[4:] if all(str(row[heading]) == "0" for row in rows)}
    left_out: set[str] = set()
    for less in (set(), {"totesys table"}, idle, {"in totesys"}, {"current in the warehouse"}):
        left_out |= less
        yield _counts_table([heading for heading in _HEADINGS if heading not in left_out], rows)


def _counts_row(row: TableDifferences) -> dict[str, Text]:
    counts = (cell("", row.in_totesys), cell("", row.in_warehouse))
    cells = (Text(row.table), Text(row.source), *counts, *wrong_counts(row), _count(row.on_their_way.rows, "yellow"))
    return dict(zip(_HEADINGS, cells, strict=True))


def _counts_table(headings: Sequence[str], rows: Sequence[Mapping[str, Text]]) -> Table:
    table = plain_table()
    for heading in headings:
        table.add_column(heading, justify="left" if heading.endswith(" table") else "right")
    for row in rows:
        table.add_row(*(row[heading] for heading in headings))
    return table


def wrong_counts(table: Compared) -> Iterator[Text]:
    """A cell for each field of WRONG."""
    return (_count(getattr(table, kind).rows, "bold red") for kind in WRONG)


def differences_in_words(tables: Iterable[Compared]) -> str:
    """How many rows of each kind differ, and in which tables."""
    apart = [table for table in tables if not table.agrees]
    counts = {kind: sum(getattr(table, kind).rows for table in apart) for kind in WRONG}
    said = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    return f"{said}, in {', '.join(table.table for table in apart)}"


def _count(rows: int, style: str) -> Text:
    return Text(f"{rows:,}", style if rows else "dim")


def _details(table: TableDifferences) -> Iterator[Text]:
    columns = ", ".join(f"{column} ({rows:,})" for column, rows in table.columns.items())
    for keys, said, style in (
        (table.missing, "missing", "red"),
        (table.extra, "extra", "red"),
        (table.differing, f"differing in {columns}", "red"),
        (table.on_their_way, "on their way: written or deleted in totesys since the batch", "yellow"),
        (table.quarantined, "quarantined, with the reason in etl.quarantine", "yellow"),
        (table.kept, "kept that were deleted in totesys", "dim"),
    ):
        if keys.rows:
            line = Text.assemble((table.table, "bold"), f": {keys.rows:,} {said}; {table.key} {_named(keys)}")
            line.stylize(style, len(table.table))
            yield line


def _named(keys: Keys) -> str:
    more = keys.rows - len(keys.first)
    return ", ".join(map(str, keys.first)) + (f" and {more:,} more" if more else "")


def _cells_table(table: TableDifferences) -> Table:
    shown = plain_table()
    for heading in (table.key, "column", "totesys", "warehouse"):
        shown.add_column(heading, overflow="fold")
    for differs in table.cells:
        shown.add_row(str(differs.key), differs.column, _value(differs.totesys), _value(differs.warehouse))
    return shown


def _value(text: str | None) -> Text:
    return Text("NULL", "dim") if text is None else Text(visible(shortened(text, _LONGEST_VALUE)) or "''")


def _apart(sums: Sums) -> bool:
    return sums.totesys != sums.warehouse


def _sums_table(found: Sequence[tuple[str, str, Sums]]) -> Table:
    table = plain_table("Sums that differ: checksums of a column, whatever its currencies")
    for heading in ("warehouse table", "column"):
        table.add_column(heading)
    for heading in ("totesys", "warehouse", "difference"):
        table.add_column(heading, justify="right")
    for name, column, sums in found:
        numbers = (sums.totesys, sums.warehouse, sums.warehouse - sums.totesys)
        table.add_row(name, column, *(cell("", number) for number in numbers))
    return table


def _remedies(found: Reconciliation) -> Iterator[Text]:
    """Yields what to do, in order: the lake shows whether somebody changed the warehouse or a change never arrived.

    If somebody changed a fact in the warehouse, a full read would add false versions of it.
    """
    if found.agrees or found.no_fence:
        return
    read = command({"full_read": _sources(found)})
    yield Text.assemble(
        "1. Compare the warehouse with the lake: ",
        ("totes replay", "bold"),
        ". If they differ, somebody changed the warehouse: ",
        ("totes replay --swap", "bold"),
        " corrects it. Then reconcile again.",
    )
    yield Text.assemble("2. If they agree, the lake lacks the change, too: ", (read, "bold"), ". Then reconcile again.")


def _sources(found: Reconciliation) -> list[str]:
    """Returns the tables of totesys from which the differing tables are made."""
    apart = [warehouse_tables()[table.table] for table in found.tables if not table.agrees]
    return list(dict.fromkeys(name for table in apart for name in (table.source or "", *table.join)))


def _verdict(found: Reconciliation) -> Text:
    coming = sum(table.on_their_way.rows for table in found.tables)
    if found.agrees:
        return Text(_no_difference(found, coming), "bold green")
    verdict = Text(f"They differ: {differences_in_words(found.tables)}.", "bold red")
    if coming:
        verdict.append(f" {coming:,} more are on their way with the next execution.", "yellow")
    if found.no_fence:
        verdict.append(
            f" What was written since the batch can't be told from what is wrong, because {found.no_fence}: run the "
            "pipeline and reconcile again.",
            "yellow",
        )
    return verdict


def _no_difference(found: Reconciliation, coming: int) -> str:
    """Says that nothing is wrong. "They agree" is for databases of which no table above shows a difference."""
    rows = sum(table.in_totesys for table in found.tables)
    explained = [f"{coming:,} on their way with the next execution"] if coming else []
    if quarantined := sum(table.quarantined.rows for table in found.tables):
        explained.append(f"{quarantined:,} quarantined in etl.quarantine")
    if kept := sum(table.kept.rows for table in found.tables):
        explained.append(f"{kept:,} kept that were deleted in totesys")
    if not explained:
        return f"They agree: {rows:,} rows of totesys are in the warehouse, value by value."
    return f"Nothing is wrong: {rows:,} rows of totesys compared; the only differences are {' and '.join(explained)}."
