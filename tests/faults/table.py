"""Shows the catalogue: `python -m tests.faults.table` prints the results of the last run of tests/faults.

The exit code is 1 if a row failed or is missing. docs/promise.md has the same table between two comments.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.catalogue import NUMBERS, Row, read_results
from tools.docs.pages import with_parts

PROMISE = Path(__file__).parents[2] / "docs" / "promise.md"


def main() -> None:
    rows = read_results()
    Console().print(for_terminal(rows))
    wrong = [number for number in NUMBERS if number not in rows or not rows[number].passed]
    if wrong:
        sys.exit(f"{len(wrong)} of {len(NUMBERS)} rows failed or are missing: {', '.join(wrong)}")


def for_terminal(rows: Mapping[str, Row]) -> Table:
    table = Table("#", "fault", "expected", "seen", "tests", "")
    for number in NUMBERS:
        row = rows.get(number, Row(number))
        table.add_row(number, _said(row), _both(row.expected), _both(row.seen), str(row.tests), verdict(row))
    return table


def markdown(rows: Mapping[str, Row]) -> str:
    """Returns the table for docs/promise.md: nothing in it differs from run to run."""
    lines = ["| # | Fault | Expected | Seen | Tests |", "| --- | --- | --- | --- | --- |"]
    for number in NUMBERS:
        row = rows.get(number, Row(number))
        proof = ", ".join(f"[{file}](../tests/faults/{file})" for file in row.files)
        cells = number, _said(row), _both(row.expected), _both(row.seen), proof or "none yet"
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def write_promise(rows: Mapping[str, Row]) -> None:
    PROMISE.write_text(_with_table(rows), encoding="utf-8")


def promise_is_stale(rows: Mapping[str, Row]) -> bool:
    return PROMISE.read_text(encoding="utf-8") != _with_table(rows)


def _with_table(rows: Mapping[str, Row]) -> str:
    return with_parts(PROMISE, {"faults": markdown(rows)})


def _said(row: Row) -> str:
    notes = [f"Nearest possible test: {nearest}" for nearest in row.nearest]
    notes += [f"Because {because}" for because in row.because]
    return ". ".join(["; ".join(row.fault), *notes]) + ("." if notes else "")


def _both(outcomes: list[str]) -> str:
    return ", ".join(sorted(outcomes))


def verdict(row: Row) -> str:
    if not row.tests:
        return "[red]missing"
    if row.failed:
        return "[red]failed"
    return f"[yellow]not yet: {'; '.join(row.not_yet)}" if row.not_yet else "[green]passed"


if __name__ == "__main__":
    main()
