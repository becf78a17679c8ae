"""The outage that `totes drill` rehearses, chapter by chapter, and what is promised of each."""

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
# As many working days as pass in the chapters.
_DAYS = 2
# Of the seconds that the state machine waits before a retry: a minute of it would show nothing.
SHARE_OF_WAITS = 0.1


class Rehearsal:
    """The outage in seven chapters.

    Attributes:
        broken: how many promises were not kept.
    """

    def __init__(self, stack: "Stack", warehouse: "WarehouseServer", console: Console, step: bool) -> None:
        self._stack = stack
        self._warehouse = warehouse
        self._console = console
        self._step = step
        self._execution_events = ExecutionEvents(stack)
        self.broken = 0

    def run(self) -> None:
        """All of it. What does not go as promised is told, and the rest is gone through all the same."""
        from local.postgres.outage import before, retries_wait

        with retries_wait(SHARE_OF_WAITS):
            self._chapter("1. A pipeline at work")
            seed_if_empty(self._stack, self._console, ago=_DAYS)
            self._expect_loaded(self._execute())
            self._pause()

            self._chapter("2. A working day passes; between Transform and Load the warehouse goes down")
            self._pass_a_day()
            with before(self._stack.names.function("load"), self._stop_warehouse):
                failed = self._execute()
            self._expect_held(failed)
            self._chapter("3. The mail")
            self._expect_one_mail(failed)
            self._pause()

            self._chapter("4. Another day passes, and the warehouse comes back")
            self._pass_a_day()
            self._warehouse.start()
            self._say("The warehouse is up again: its PostgreSQL was started.")

            self._chapter("5. The next execution of the schedule catches up by itself")
            self._expect_caught_up(self._execute())
            self._pause()

            self._chapter("6. And the one after it")
            self._expect_quiet(self._execute())

            self._chapter("7. Is anything lost?")
            self._expect_agreement()
            self._pause()

    def _chapter(self, title: str) -> None:
        chapter(self._console, title)

    def _say(self, line: str) -> None:
        self._console.print(Text(line, "bold cyan"))

    def _pause(self) -> None:
        if self._step:
            self._console.print(Text("Enter goes on …", "dim"))
            sys.stdin.readline()

    def _pass_a_day(self) -> None:
        with closing(self._stack.connect_source()) as connection:
            self._console.print(days_table(Simulator(connection, amendments_a_day=AMENDMENTS_A_DAY).run(1)))

    def _stop_warehouse(self) -> None:
        self._warehouse.stop()
        self._say("The warehouse goes down: its PostgreSQL was stopped.")

    def _execute(self) -> "Execution":
        """Has the schedule start one execution, follows it to its end, and has the rule on endings tell of that."""
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
        self._expect_logs("All that totesys held is in the warehouse, as batch 1", (1, 1, 1))

    def _expect_held(self, execution: "Execution") -> None:
        load = next((state for state in execution.states if state.name == "Load"), None)
        found = (execution.status, execution.error or "", load.attempts if load else 0)
        self._expect(
            "It fails in Load as WarehouseUnreachable, after five attempts",
            found == ("FAILED", "WarehouseUnreachable", 5),
            found,
        )
        self._expect_logs("Batch 2 is landed and processed, and waits: the warehouse is at batch 1", (2, 2, 1))

    def _expect_one_mail(self, execution: "Execution") -> None:
        mails = self._stack.mails()
        self._show(mails)
        told = [mail for mail in mails if f"totes explain {execution.name}" in mail.message]
        self._expect("One mail tells of it", len(mails) == len(told) == 1, f"{len(mails)} mails")
        text = "".join(mail.message for mail in told)
        lacking = [part for part in ("WarehouseUnreachable", "Nothing is lost", "DO THIS") if part not in text]
        self._expect("It says what happened, that nothing is lost, and what to do", not lacking, f"no {lacking}")

    def _expect_caught_up(self, execution: "Execution") -> None:
        load = execution.output.get("load", {})
        found = (execution.status, load.get("first"), load.get("last"))
        self._expect("It loads what waited and what is new, batches 2 and 3", found == (SUCCEEDED, 2, 3), found)
        self._expect_logs("The three logs are at one batch again", (3, 3, 3))
        mails = self._stack.mails()[1:]
        self._show(mails)
        recovered = [mail for mail in mails if "recovered" in mail.subject]
        self._expect("One mail tells that all is well again", len(mails) == len(recovered) == 1, f"{len(mails)} mails")

    def _expect_quiet(self, execution: "Execution") -> None:
        last = execution.states[-1].name
        self._expect("It finds nothing new", (execution.status, last) == (SUCCEEDED, "NothingNew"), last)
        count = len(self._stack.mails())
        self._expect("The recovery is told once: no mail comes after it", count == 2, f"{count} mails in all")

    def _expect_agreement(self) -> None:
        found = compare(self._stack.names, list(comparable().values()))
        show_reconciliation(self._console, found)
        coming = sum(table.on_their_way.rows for table in found.tables)
        kept = found.agrees and not coming
        self._expect("Nothing is lost: all that is in totesys is in the warehouse", kept, f"{coming:,} on their way")

    def _expect_logs(self, promise: str, batches: tuple[int, int, int]) -> None:
        found = tuple(head.batch for head in read_logs(self._stack.names))
        self._expect(promise, found == batches, f"batches {found}")

    def _show(self, mails: "list[Mail]") -> None:
        for mail in mails:
            text = Text.assemble((mail.subject, "bold"), f"\n\n{mail.message.strip()}")
            self._console.print(Panel(text, title="e-mail"))
