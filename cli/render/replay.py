"""Prints a replay's comparison with the live warehouse."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.render.reconcile import WRONG, differences_in_words, wrong_counts
from cli.render.terminal import cell, plain_table
from totes.verify.replay.difference import Divergence, Rows
from totes.verify.replay.replay import Comparison

_HEADINGS = ("table", "replayed", "live", *WRONG)


def show_comparison(console: Console, found: Comparison) -> None:
    """Prints a line for each table, then its differences, and finally whether the two agree."""
    console.print(_counts_table(found))
    for table in found.tables:
        for line in _details(table):
            console.print(line, soft_wrap=True)
    console.print(_verdict(found), soft_wrap=True)


def _counts_table(found: Comparison) -> Table:
    table = plain_table(f"Replayed up to batch {found.batch}")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for row in found.tables:
        table.add_row(row.table, cell("", row.replayed), cell("", row.live), *wrong_counts(row))
    return table


def _details(table: Divergence) -> Iterator[Text]:
    columns = ", ".join(f"{column} ({rows:,})" for column, rows in table.columns.items())
    for rows, said in (
        (table.missing, "missing"),
        (table.extra, "extra"),
        (table.differing, f"differing in {columns}"),
    ):
        if rows.rows:
            yield Text.assemble((table.table, "bold"), (f": {rows.rows:,} {said}; {_named(rows)}", "red"))


def _named(rows: Rows) -> str:
    keys = [", ".join(f"{column} {value}" for column, value in key.items()) for key in rows.first]
    if not keys:
        return "copies of the same rows"
    more = rows.rows - len(keys)
    return "; ".join(keys) + (f"; and {more:,} more" if more else "")


def _verdict(found: Comparison) -> Text:
    if found.agrees:
        rows = sum(table.live for table in found.tables)
        return Text(f"They agree: all {rows:,} rows of the live warehouse are the same as in the replay.", "bold green")
    return Text(f"They differ: {differences_in_words(found.tables)}.", "bold red")
