"""Writes the results as tables, on the terminal and in docs/performance.md."""

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from benchmarks.peers.peer import version
from benchmarks.peers.programs import PEERS
from benchmarks.rounds import Outcome, Target, Verdict
from cli.render.terminal import plain_table
from local.aws.deployment import ROOT
from tools.docs.pages import with_parts

PAGE = ROOT / "docs" / "performance.md"
TIMES = "\N{MULTIPLICATION SIGN}"
_MET = {True: "met", False: "missed", None: ""}
Rows = list[tuple[str, ...]]
MEASURED = ("", "median", "least", "most")
COMPARED = ("", "is", "of the least", "at most", "")


def tables(title: str, outcome: Outcome) -> Iterator[Table]:
    """Yields a work's tables for the terminal."""
    for heading, columns, rows in ((title, MEASURED, measured(outcome)), (None, COMPARED, compared(outcome))):
        table = plain_table(heading)
        for number, column in enumerate(columns):
            table.add_column(
                column, justify="left" if (number in (0, 4) and columns is COMPARED) or not number else "right"
            )
        for row in rows:
            table.add_row(*row)
        yield table


def measured(outcome: Outcome) -> Rows:
    """Returns a row for each line: median, minimum and maximum, or the error."""
    return [
        (line.name, line.trouble, "", "")
        if line.trouble or not line.values
        else (line.name, *(_value(value, line.unit) for value in (line.median, min(line.values), max(line.values))))
        for line in outcome.lines
    ]


def compared(outcome: Outcome) -> Rows:
    """Returns a row for each target."""
    return [_verdict(outcome, verdict) for verdict in outcome.verdicts()]


def write(name: str, outcome: Outcome, rounds: int, page: Path = PAGE) -> None:
    """Writes a work's tables into their part of the page."""
    text = "\n".join(
        [
            markdown(MEASURED, measured(outcome)),
            markdown(COMPARED, compared(outcome)),
            measured_on(outcome.how or (f"{rounds} rounds" if rounds > 1 else "once"), _programs(outcome)),
        ]
    )
    replace(name, text, page)


def replace(name: str, text: str, page: Path = PAGE) -> None:
    """Replaces a part of the page.

    Raises:
        ValueError: there is no such part.
    """
    page.write_text(with_parts(page, {f"bench:{name}": text}), encoding="utf-8")


def machine() -> str:
    """Describes the machine, without its name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = ".".join(platform.python_version_tuple()[:2])
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} CPUs, {memory:.0f} GB, {system}, Python {python}, PostgreSQL 18"


def measured_on(rounds: str, programs: Sequence[str] = ()) -> str:
    """Returns the line below a table. `rounds` is, for instance, "5 rounds"."""
    return f"Measured on {datetime.now(UTC):%Y-%m-%d}, {rounds}: {', '.join([machine(), *programs])}.\n"


def _programs(outcome: Outcome) -> list[str]:
    """Returns the programs that were measured, with their versions."""
    names = {line.name for line in outcome.lines if line.values}
    return [f"{program} {version(program)}" for program in dict.fromkeys(p.program for p in PEERS if p.name in names)]


def markdown(columns: Sequence[str], rows: Rows) -> str:
    """Returns a Markdown table with numbers aligned right; empty if there are no rows."""
    if not rows:
        return ""
    aligned = ["---", *("---:" for _ in columns[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, aligned, *rows)) + "\n"


def _verdict(outcome: Outcome, verdict: Verdict) -> tuple[str, ...]:
    target = verdict.target
    unit = TIMES if target.theirs else outcome.line(target.ours).unit
    limit = "" if target.limit is None else _value(target.limit, unit)
    value, least = ("" if number is None else _value(number, unit) for number in (verdict.value, verdict.least))
    return (_subject(target), value, least, limit, _MET[verdict.met])


def _subject(target: Target) -> str:
    return f"{target.ours} ÷ {target.theirs}" if target.theirs else target.ours


def _value(value: float, unit: str) -> str:
    digits = 0 if unit in ("MB", "") or abs(value) >= 100 else 2 if abs(value) < 10 else 1
    return f"{value:,.{digits}f}{' ' if unit not in ('', TIMES) else ''}{unit}"
