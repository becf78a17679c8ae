"""`make bench`: measures the pipeline's speed beside other programs, and writes docs/performance.md."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import orders, pipeline, profile, report
from benchmarks.bench import Bench, Work
from benchmarks.peers.peer import installed
from benchmarks.peers.programs import PEERS
from benchmarks.rounds import Line, OursFailed, Tell
from cli.render.terminal import plain_table, say_error, screen

WORKS = {work.name: work for work in (*orders.WORKS, *pipeline.WORKS)}
SIZES, LARGE = (100_000, 1_000_000), 10_000_000
QUICK_ROWS, QUICK_WORK = 2_000, "first-load"

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command()
def bench(
    only: Annotated[list[str] | None, typer.Option(metavar="WORK", help=f"One or more of: {', '.join(WORKS)}.")] = None,
    rows: Annotated[int, typer.Option(min=1_000, help="Sales orders of the large totesys.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="The number of rounds; each competitor runs once a round.")] = 5,
    size: Annotated[
        list[int] | None, typer.Option(min=1_000, help="Sales orders for `growth`; give it at least twice.")
    ] = None,
    large: Annotated[
        bool, typer.Option("--large", help=f"Also measure `growth` with {LARGE:,} orders, once. This takes long.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, help="Working days to simulate for `freshness`.")] = 30,
    peers: Annotated[
        bool, typer.Option(help="Compare with ingestr, dlt and sling, installed into build/peers.")
    ] = True,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"Only check that it works: a tiny {QUICK_WORK}, once.")
    ] = False,
    profiled: Annotated[bool, typer.Option("--profile", help="Show where each stage spends its time.")] = False,
    write: Annotated[bool, typer.Option(help="Write the tables into docs/performance.md.")] = True,
) -> None:
    """Measure the shipped handlers and other programs in turns, on one PostgreSQL. Print medians and ratios.

    The benchmark makes its own databases and buckets, and deletes them at the end. It keeps the other programs in
    build/peers. A program that can't be installed is listed as absent.
    """
    if quick:
        only, rows, rounds, peers, write = [QUICK_WORK], QUICK_ROWS, 1, False, False
    works = _chosen(only)
    sizes = sorted({*(size or SIZES), *((LARGE,) if large else ())})
    with _progress() as tell:
        asked = Bench(rows, sizes, rounds, days, (), (), tell)
        if profiled:
            _profile(asked, write=write)
            return
        asked = _with_peers(asked) if peers else asked
        for work in works:
            _measure(work, replace(asked, tell=partial(_prefixed, tell, work.name)), write=write)


def _chosen(only: list[str] | None) -> list[Work]:
    if unknown := set(only or ()) - WORKS.keys():
        raise typer.BadParameter(f"there is no work {', '.join(sorted(unknown))}, only {', '.join(WORKS)}.")
    return [work for name, work in WORKS.items() if not only or name in only]


def _with_peers(asked: Bench) -> Bench:
    troubles = {program: installed(program, asked.tell) for program in dict.fromkeys(peer.program for peer in PEERS)}
    return replace(
        asked,
        peers=[peer for peer in PEERS if not troubles[peer.program]],
        absent=[Line(peer.name, trouble=troubles[peer.program]) for peer in PEERS if troubles[peer.program]],
    )


def _prefixed(tell: Tell, work: str, step: str) -> None:
    tell(f"{work}: {step}")


def _measure(work: Work, asked: Bench, *, write: bool) -> None:
    outcome = work.measure(asked)
    for table in report.tables(work.title, outcome):
        screen().print(table)
    if write:
        report.write(work.name, outcome, asked.rounds)


def _profile(asked: Bench, *, write: bool) -> None:
    found = profile.profile(asked)
    for case, rows in found.items():
        table = plain_table(case)
        for number, column in enumerate(profile.COLUMNS):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*(cell.replace("**", "") for cell in row))
        screen().print(table)
    if write:
        profile.write(found)


@contextlib.contextmanager
def _progress() -> Iterator[Tell]:
    """Yields a function that reports progress: on one line of a terminal, or on a line each elsewhere."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda step: console.print(step, markup=False, soft_wrap=True)
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task("")
        yield lambda step: progress.update(task, description=step)


def main() -> int:
    """Runs the command line and returns its exit code: 1 if our code failed, 2 for wrong arguments."""
    # Keeps our compiled modules, as pip does for the other programs, regardless of the shell's setting.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        app(prog_name="python -m benchmarks")
    except OursFailed as error:
        say_error(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
