"""`python -m tests.mutants`: sabotages the code in small ways, one at a time, and reports which test notices.

Exits with 1 if a mutant survives, if its tests don't end in time, or if they fail without it.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.render.terminal import plain_table, screen
from tests.mutants.mutant import ROOT, Mutant, read_mutants
from tests.mutants.trial import ControlFailed, Outcome, Verdict, try_all

# Each worker has a PostgreSQL of its own.
WORKERS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    mutants = read_mutants()
    given = _parser(mutants).parse_args(arguments)
    chosen = [mutant for mutant in mutants if given.only in (None, mutant.name)]
    if given.list:
        screen().print(_listed(chosen))
        return 0
    console = screen()
    with tempfile.TemporaryDirectory(prefix="totes-mutants-") as folder, _progress() as progress:
        task = progress.add_task("without a mutant", total=len(chosen))

        def report(verdict: Verdict) -> None:
            progress.console.print(_line(verdict), soft_wrap=True)
            progress.update(task, advance=1, description="mutants")

        try:
            verdicts = try_all(ROOT, Path(folder), chosen, WORKERS, report)
        except ControlFailed as failed:
            progress.console.print(Text(f"{failed}\nThese tests fail without a mutant.", "bold red"))
            return 1
    console.print(_told(verdicts))
    missed = [verdict.mutant.name for verdict in verdicts if verdict.outcome is not Outcome.CAUGHT]
    console.print(f"{len(verdicts) - len(missed)} of {len(verdicts)} mutants were caught.")
    if missed:
        console.print(Text(f"No test noticed: {', '.join(missed)}.", "bold red"))
    return 1 if missed else 0


def _parser(mutants: Sequence[Mutant]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", metavar="NAME", choices=[mutant.name for mutant in mutants], help="try one mutant")
    parser.add_argument("--list", action="store_true", help="say what the mutants break, and try none")
    return parser


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=screen(), transient=True)


def _line(verdict: Verdict) -> Text:
    said = verdict.said.splitlines()[0] if verdict.test and verdict.said else ""
    style = "green" if verdict.outcome is Outcome.CAUGHT else "bold red"
    return Text.assemble((f"{verdict.outcome:12}", style), verdict.mutant.name, (f"  {said}", "dim"))


def _listed(mutants: Sequence[Mutant]) -> Table:
    table = plain_table()
    for title in ("mutant", "breaks", "in"):
        table.add_column(title, overflow="fold")
    for mutant in mutants:
        table.add_row(mutant.name, Text(mutant.breaks), mutant.file)
    return table


def _told(verdicts: Sequence[Verdict]) -> Table:
    table = plain_table()
    table.add_column("mutant", no_wrap=True)
    table.add_column("caught by", overflow="fold")
    table.add_column("seconds", justify="right")
    for verdict in verdicts:
        missed = Text(f"{verdict.outcome}\n{verdict.said}".strip(), "red")
        caught = Text(verdict.test.removeprefix("tests/")) if verdict.test else missed
        table.add_row(verdict.mutant.name, caught, f"{verdict.seconds:.1f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
