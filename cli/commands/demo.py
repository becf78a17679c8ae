"""`totes demo`: shows the whole pipeline on a temporary stack, in six short chapters."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.answers import answer
from cli.commands.history import show_versions
from cli.commands.query import show_answer
from cli.commands.reconcile import compare
from cli.commands.report import write_report
from cli.commands.simulate import days_table
from cli.commands.up import seed_if_empty
from cli.deployment import warehouse
from cli.errors import CommandFailed, Interrupted
from cli.questions import find_question
from cli.render.follow import follow
from cli.render.reconcile import show_reconciliation
from cli.render.terminal import say_error, screen
from cli.report.folder import check_replaceable
from cli.starting import unique_name
from cli.stopping import said_when_terminated
from cli.versions import SALES_ORDER, read_amended, read_versions
from totes.alerts.executions import SUCCEEDED, start

if TYPE_CHECKING:
    from local.stack import Stack

DAYS = 5
# The real business amends about 1.3 orders or designs a day. This many, so that five days have something to show.
AMENDMENTS_A_DAY = 5
STOPPED = "Stopped before the end. Nothing is left behind."
QUESTION = "top_designs_by_country"


def demo(
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write a report into this folder, as `totes report` does.")
    ] = None,
) -> None:
    """Show the whole pipeline on a temporary stack: first load, working days, amendments, history, a question.

    Needs no AWS account and no database, takes about 30 s, and leaves nothing behind.
    """
    if report:
        check_replaceable(report)
    began = time.monotonic()
    console = screen()
    try:
        with said_when_terminated(lambda: say_error(STOPPED)):
            _run_chapters(console, report)
    except KeyboardInterrupt:
        raise Interrupted(STOPPED) from None
    # `make run` needs no `totes` on the path.
    up = "totes up" if shutil.which("totes") else "make up"
    console.print(
        Text(f"\nDone in {time.monotonic() - began:.0f} s. `{up}` starts a stack that keeps running."),
        soft_wrap=True,
    )


def _run_chapters(console: Console, report: Path | None) -> None:
    from local.business.simulator import Simulator

    with temporary_stack(console) as stack:
        chapter(console, "1. A source: two years of trading")
        # Leaves room for the simulated days of chapter 3, which end with the last day that is over.
        seed_if_empty(stack, console, ago=DAYS)
        chapter(console, "2. First execution: everything")
        _execute(stack, console)
        chapter(console, f"3. {DAYS} working days pass, with amendments that leave last_updated alone")
        with closing(stack.connect_source()) as connection:
            reports = Simulator(connection, amendments_a_day=AMENDMENTS_A_DAY).run(DAYS)
        console.print(days_table(reports))
        chapter(console, "4. Second execution: only what changed")
        _execute(stack, console)
        chapter(console, "5. Third execution: nothing new")
        _execute(stack, console)
        chapter(console, "6. The warehouse's rows, compared with totesys")
        _show_warehouse(stack, console)
        if report:
            chapter(console, "7. A report for a browser")
            write_report(stack.names, report, console)


@contextmanager
def temporary_stack(console: Console) -> Iterator["Stack"]:
    """Starts a stack in a temporary home, and deletes both at the end."""
    console.print(Text("Starting PostgreSQL and the AWS services on this machine …", "dim"))
    from local.stack import Stack

    # A home of its own, so that `totes up` may run in this folder at the same time.
    with TemporaryDirectory(prefix="totes-home-") as home:
        os.environ["TOTES_HOME"] = home
        with Stack() as stack:
            yield stack


def chapter(console: Console, title: str) -> None:
    """Prints a chapter's title."""
    console.print()
    console.rule(Text(title, "bold"), align="left", style="dim")


def _execute(stack: "Stack", console: Console) -> None:
    execution = follow(start(stack.names, unique_name("demo"), "{}"), console)
    if execution.status != SUCCEEDED:
        raise CommandFailed(f"Execution {execution.name} ended {execution.status}.")


def _show_warehouse(stack: "Stack", console: Console) -> None:
    from totes.verify.reconcile.reconcile import comparable

    found = compare(stack.names, list(comparable().values()))
    show_reconciliation(console, found)
    if not found.agrees:
        raise CommandFailed("The warehouse differs from totesys, as shown above. This is a bug.")
    console.print()
    with warehouse(stack.names) as loaded:
        for amended in read_amended(loaded, [SALES_ORDER], 1)[0]:
            order = amended["id"]
            show_versions(console, SALES_ORDER, order, read_versions(loaded, SALES_ORDER, order))
            console.print()
        question = find_question(QUESTION)
        show_answer(console, answer(loaded, question, {}))
