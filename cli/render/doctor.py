"""Prints the findings of `totes doctor`."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from totes.verify.doctor.findings import Finding, Level

_LEVELS = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("warning", "bold yellow"),
    Level.FAILED: ("FAILED", "bold red"),
    Level.UNKNOWN: ("unknown", "bold magenta"),
}


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Prints the findings by area, each with its remedy below, and finally the count of each level."""
    for area in dict.fromkeys(finding.area for finding in findings):
        console.print(Text(area, "bold"))
        console.print(_table([finding for finding in findings if finding.area == area]))
        console.print()
    console.print(_verdict(findings), soft_wrap=True)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=16)
    table.add_column(overflow="fold")
    for finding in findings:
        said, style = _LEVELS[finding.level]
        table.add_row(Text(f"  {said}", style), Text(finding.found))
        if finding.remedy:
            table.add_row("", Text(f"→ {finding.remedy}", "cyan"))
    return table


def _verdict(findings: Sequence[Finding]) -> Text:
    counts = Counter(finding.level for finding in findings)
    said = ", ".join(f"{counts[level]} {_LEVELS[level][0]}" for level in Level if counts[level])
    worst = next((level for level in reversed(Level) if counts[level] and level is not Level.UNKNOWN), Level.OK)
    return Text(f"{len(findings)} finding{'s' * (len(findings) > 1)}: {said}.", _LEVELS[worst][1])
