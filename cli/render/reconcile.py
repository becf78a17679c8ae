"""Prints a reconciliation."""

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

# The fields that count wrong rows. Their names are also the words in the output.
WRONG = ("missing", "extra", "differing")
_LONGEST_VALUE = 500
_HEADINGS = ("warehouse table", "totesys table", "in totesys", "current in the warehouse", *WRONG, "in flight")


class Compared(Protocol):
    """A compared table. Each of its fields in WRONG has the number of `rows`."""

    @property
    def table(self) -> str: ...

    @property
    def agrees(self) -> bool: ...


def show_reconciliation(console: Console, found: Reconciliation) -> None:
    """Prints a line for each table, then its differences, the remedies, and whether the databases agree."""
    compared = cell("", found.totesys_at)
    console.print(Text(f"The warehouse at batch {found.batch}, compared with totesys at {compared}", "bold"))
    console.print(FirstThatFits(*_counts_tables(found)))
    for table in found.tables:
        for line in _details(table):
            console.print(line, soft_wrap=not has_width())
        if table.cells:
            console.print(_cells_table(table))
    if sums := [(table.table, *sums) for table in found.tables for sums in table.sums.items() if _apart(sums[1])]:
        console.print(_sums_table(sums))
    for line in _remedies(found):
        # Not wrapped, so that the command can be copied in one piece.
        console.print(line, soft_wrap=True)
    console.print(_verdict(found), soft_wrap=not has_width())


def _counts_tables(found: Reconciliation) -> Iterator[Table]:
    """Yields the table with all columns, then with ever fewer: drops the least informative columns first."""
    rows = [_counts_row(row) for row in found.tables]
    idle = {heading for heading in _HEADINGS[4:] if all(str(row[heading]) == "0" for row in rows)}
    left_out: set[str] = set()
    for less in (set(), {"totesys table"}, idle, {"in totesys"}, {"current in the warehouse"}):
        left_out |= less
        yield _counts_table([heading for heading in _HEADINGS if heading not in left_out], rows)


def _counts_row(row: TableDifferences) -> dict[str, Text]:
    counts = (cell("", row.in_totesys), cell("", row.in_warehouse))
    made_from = ", ".join((row.source, *warehouse_tables()[row.table].join))
    cells = (Text(row.table), Text(made_from), *counts, *wrong_counts(row), _count(row.on_their_way.rows, "yellow"))
    return dict(zip(_HEADINGS, cells, strict=True))


def _counts_table(headings: Sequence[str], rows: Sequence[Mapping[str, Text]]) -> Table:
    table = plain_table()
    for heading in headings:
        table.add_column(heading, justify="left" if heading.endswith(" table") else "right")
    for row in rows:
        table.add_row(*(row[heading] for heading in headings))
    return table


def wrong_counts(table: Compared) -> Iterator[Text]:
    """Returns a cell for each field of WRONG."""
    return (_count(getattr(table, kind).rows, "bold red") for kind in WRONG)


def differences_in_words(tables: Iterable[Compared]) -> str:
    """Returns how many rows of each kind differ, and in which tables."""
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
        (table.on_their_way, "in flight: written or deleted in totesys since the batch", "yellow"),
        (table.quarantined, "quarantined, with the reason in etl.quarantine", "yellow"),
        (table.kept, "deleted in totesys and kept in the warehouse", "dim"),
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
    table = plain_table("Differing column sums: checksums, which add up all currencies")
    for heading in ("warehouse table", "column"):
        table.add_column(heading)
    for heading in ("totesys", "warehouse", "difference"):
        table.add_column(heading, justify="right")
    for name, column, sums in found:
        numbers = (sums.totesys, sums.warehouse, sums.warehouse - sums.totesys)
        table.add_row(name, column, *(cell("", number) for number in numbers))
    return table


def _remedies(found: Reconciliation) -> Iterator[Text]:
    """Yields the remedies in order.

    The lake shows whether somebody changed the warehouse or a change never arrived. It comes first: if somebody changed
    a fact in the warehouse, a full refresh would add false versions.
    """
    if found.agrees or found.no_fence:
        return
    read = command({"full_read": _sources(found)})
    yield Text.assemble(
        "1. Compare the warehouse with the lake: ",
        ("totes replay", "bold"),
        ". If they differ, somebody changed the warehouse. Correct it with ",
        ("totes replay --swap", "bold"),
        ", then reconcile again.",
    )
    yield Text.assemble(
        "2. If they agree, the lake lacks the change, too. Run ", (read, "bold"), ", then reconcile again."
    )


def _sources(found: Reconciliation) -> list[str]:
    """Returns the totesys tables that the differing tables are made from."""
    apart = [warehouse_tables()[table.table] for table in found.tables if not table.agrees]
    return list(dict.fromkeys(name for table in apart for name in (table.source or "", *table.join)))


def _verdict(found: Reconciliation) -> Text:
    coming = sum(table.on_their_way.rows for table in found.tables)
    if found.agrees:
        return Text(_no_difference(found, coming), "bold green")
    verdict = Text(f"They differ: {differences_in_words(found.tables)}.", "bold red")
    if coming:
        verdict.append(f" {coming:,} more are in flight: the next execution loads them.", "yellow")
    if found.no_fence:
        verdict.append(
            f" Rows in flight can't be distinguished from wrong ones, because {found.no_fence}. Run the pipeline and "
            "reconcile again.",
            "yellow",
        )
    return verdict


def _no_difference(found: Reconciliation, coming: int) -> str:
    """Returns the verdict if nothing is wrong. "They agree" is only for tables without any difference."""
    rows = sum(table.in_totesys for table in found.tables)
    explained = [f"{coming:,} in flight"] if coming else []
    if quarantined := sum(table.quarantined.rows for table in found.tables):
        explained.append(f"{quarantined:,} quarantined in etl.quarantine")
    if kept := sum(table.kept.rows for table in found.tables):
        explained.append(f"{kept:,} deleted in totesys and kept")
    if not explained:
        return f"They agree: all {rows:,} rows of totesys are in the warehouse, with the same values."
    return f"Nothing is wrong: {rows:,} rows of totesys compared; the only differences are {' and '.join(explained)}."
