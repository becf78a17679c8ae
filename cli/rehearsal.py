"""Rehearses an outage for `totes drill`, chapter by chapter, and checks each chapter's promises."""

import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from cli.commands.demo import chapter
from cli.commands.reconcile import compare
from cli.commands.simulate import days_table
from cli.commands.up import seed_if_empty
from cli.progress import read_logs
from cli.render.follow import follow
from cli.render.reconcile import show_reconciliation
from local.aws.execution_events import ExecutionEvents
from local.aws.schedule import Scheduler
from local.business.simulator import Simulator
from totes.alerts.executions import SUCCEEDED
from totes.verify.reconcile.reconcile import comparable

if TYPE_CHECKING:
    from local.postgres.outage import WarehouseServer
    from local.stack import Mail, Stack
    from totes.alerts.executions import Execution

AMENDMENTS_A_DAY = 5
# Two chapters simulate a working day each.
_DAYS = 2
# Retries wait this fraction of the state machine's seconds: a full wait would show nothing for a minute.
SHARE_OF_WAITS = 0.1


class Rehearsal:
    """An outage in seven chapters.

    Attributes:
        broken: the number of broken promises.
    """

    def __init__(self, stack: "Stack", warehouse: "WarehouseServer", console: Console, step: bool) -> None:
        self._stack = stack
        self._warehouse = warehouse
        self._console = console
        self._step = step
        self._execution_events = ExecutionEvents(stack)
        self.broken = 0

    def run(self) -> None:
        """Runs all chapters. Reports each broken promise and continues."""
        from local.postgres.outage import before, retries_wait

        with retries_wait(SHARE_OF_WAITS):
            self._chapter("1. The pipeline works")
            seed_if_empty(self._stack, self._console, ago=_DAYS)
            self._expect_loaded(self._execute())
            self._pause()

            self._chapter("2. A working day passes; the warehouse goes down between Transform and Load")
            self._pass_a_day()
            with before(self._stack.names.function("load"), self._stop_warehouse):
                failed = self._execute()
            self._expect_held(failed)
            self._chapter("3. The e-mail")
            self._expect_one_mail(failed)
            self._pause()

            self._chapter("4. Another day passes, and the warehouse comes back")
            self._pass_a_day()
            self._warehouse.start()
            self._say("The warehouse is up again: the drill started its PostgreSQL.")

            self._chapter("5. The schedule's next execution catches up")
            self._expect_caught_up(self._execute())
            self._pause()

            self._chapter("6. The execution after that finds nothing new")
            self._expect_quiet(self._execute())

            self._chapter("7. Was anything lost?")
            self._expect_agreement()
            self._pause()

    def _chapter(self, title: str) -> None:
        chapter(self._console, title)

    def _say(self, line: str) -> None:
        self._console.print(Text(line, "bold cyan"))

    def _pause(self) -> None:
        if self._step:
            self._console.print(Text("Press Enter to continue …", "dim"))
            sys.stdin.readline()

    def _pass_a_day(self) -> None:
        with closing(self._stack.connect_source()) as connection:
            self._console.print(days_table(Simulator(connection, amendments_a_day=AMENDMENTS_A_DAY).run(1)))

    def _stop_warehouse(self) -> None:
        self._warehouse.stop()
        self._say("The warehouse goes down: the drill stopped its PostgreSQL.")

    def _execute(self) -> "Execution":
        """Lets the schedule start one execution, follows it, and then fires the rule for ended executions."""
        started: list[str] = []
        fired = threading.Event()

        def note(arn: str) -> None:
            started.append(arn)
            fired.set()

        Scheduler(self._stack, started=note).run(fired)
        execution = follow(started[0], self._console)
        self._execution_events.look()
        return execution

    def _expect(self, promise: str, kept: bool, found: object) -> None:
        self.broken += not kept
        self._console.print(
            Text(f"✔ {promise}", "green") if kept else Text(f"✘ {promise}: found {found}", "bold red"), soft_wrap=True
        )

    def _expect_loaded(self, execution: "Execution") -> None:
        self._expect("The execution succeeds", execution.status == SUCCEEDED, execution.status)
        self._expect_logs("All rows of totesys are in the warehouse, as batch 1", (1, 1, 1))

    def _expect_held(self, execution: "Execution") -> None:
        load = next((state for state in execution.states if state.name == "Load"), None)
        found = (execution.status, execution.error or "", load.attempts if load else 0)
        self._expect(
            "It fails in Load with WarehouseUnreachable, after five attempts",
            found == ("FAILED", "WarehouseUnreachable", 5),
            found,
        )
        self._expect_logs("Batch 2 is landed and processed, and waits: the warehouse is at batch 1", (2, 2, 1))

    def _expect_one_mail(self, execution: "Execution") -> None:
        mails = self._stack.mails()
        self._show(mails)
        about = [mail for mail in mails if f"totes explain {execution.name}" in mail.message]
        self._expect("One e-mail reports it", len(mails) == len(about) == 1, f"{len(mails)} e-mails")
        text = "".join(mail.message for mail in about)
        lacking = [part for part in ("WarehouseUnreachable", "Nothing is lost", "DO THIS") if part not in text]
        self._expect("It says what happened, that nothing is lost, and what to do", not lacking, f"no {lacking}")

    def _expect_caught_up(self, execution: "Execution") -> None:
        load = execution.output.get("load", {})
        found = (execution.status, load.get("first"), load.get("last"))
        self._expect("It loads the waiting batch 2 and the new batch 3", found == (SUCCEEDED, 2, 3), found)
        self._expect_logs("The three logs are at the same batch again", (3, 3, 3))
        mails = self._stack.mails()[1:]
        self._show(mails)
        recovered = [mail for mail in mails if "recovered" in mail.subject]
        self._expect("One e-mail reports the recovery", len(mails) == len(recovered) == 1, f"{len(mails)} e-mails")

    def _expect_quiet(self, execution: "Execution") -> None:
        last = execution.states[-1].name
        self._expect("It finds nothing new", (execution.status, last) == (SUCCEEDED, "NothingNew"), last)
        count = len(self._stack.mails())
        self._expect("It sends no further e-mail", count == 2, f"{count} e-mails in total")

    def _expect_agreement(self) -> None:
        found = compare(self._stack.names, list(comparable().values()))
        show_reconciliation(self._console, found)
        coming = sum(table.on_their_way.rows for table in found.tables)
        kept = found.agrees and not coming
        self._expect("Nothing is lost: every row of totesys is in the warehouse", kept, f"{coming:,} in flight")

    def _expect_logs(self, promise: str, batches: tuple[int, int, int]) -> None:
        found = tuple(head.batch for head in read_logs(self._stack.names))
        self._expect(promise, found == batches, f"batches {found}")

    def _show(self, mails: "list[Mail]") -> None:
        for mail in mails:
            text = Text.assemble((mail.subject, "bold"), f"\n\n{mail.message.strip()}")
            self._console.print(Panel(text, title="e-mail"))
