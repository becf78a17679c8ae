"""Runs the local stack's schedule in real time and, on request, simulates the back office's days."""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from cli.deployment import Target, warehouse
from cli.errors import CommandFailed
from cli.render.executions import headline
from cli.render.follow import wait
from cli.versions import ORDERS, read_amended
from local.aws.execution_events import ExecutionEvents
from local.aws.schedule import Scheduler
from totes.alerts.executions import SUCCEEDED
from totes.errors import TotesError

if TYPE_CHECKING:
    from local.stack import Stack
    from totes.runtime.names import Names

# The simulator writes this often, so that orders arrive one by one, as in a real back office.
TICK = timedelta(seconds=1)


@dataclass(frozen=True)
class Pace:
    """How long a simulated day lasts, and how many amendments it has."""

    day: timedelta
    amendments: float


def serve(stack: "Stack", console: Console, every: timedelta | None, pace: Pace | None) -> None:
    """Runs the schedule until interrupted and reports each execution. Given a pace, it also simulates days.

    Raises:
        ValueError: the rule's expression is not a rate, or the source is empty, so simulation has no start.
    """
    started: queue.SimpleQueue[str] = queue.SimpleQueue()
    with _background() as (pool, stop):
        tasks = [
            pool.submit(Scheduler(stack, every, started.put).run, stop),
            pool.submit(ExecutionEvents(stack).run, stop),
        ]
        suggested = False
        if pace:
            tasks.append(pool.submit(_pass_days, stack, console, pace, stop))
        while True:
            _raise_failures(tasks)
            try:
                arn = started.get(timeout=TICK.total_seconds())
            except queue.Empty:
                continue
            execution = wait(arn)
            _say(console, headline(execution))
            if not suggested and execution.status == SUCCEEDED:
                suggested = _suggest_history(stack.names, console)


def _suggest_history(names: "Names", console: Console) -> bool:
    """Prints the command that shows an amended order's versions. Returns False if no order is amended yet."""
    with suppress(TotesError, CommandFailed), warehouse(names) as connection:
        for row in read_amended(connection, ORDERS, 1)[0]:
            entity = next(entity for entity in ORDERS if entity.name == row["entity"])
            said = f"{entity.words.capitalize()} {row['id']} was amended. See what changed: "
            _say(console, Text.assemble(said, (Target().command(entity.line(row["id"])), "bold")))
            return True
    return False


def _pass_days(stack: "Stack", console: Console, pace: Pace, stop: threading.Event) -> None:
    from local.business.simulator import Simulator

    with closing(stack.connect_source()) as connection:
        simulator = Simulator(connection, amendments_a_day=pace.amendments)
        today = None
        while not stop.wait(TICK.total_seconds()):
            day = simulator.advance(TICK / pace.day).day
            if day != today:
                today = day
                _say(console, Text(f"{today:%A, %Y-%m-%d} begins in totesys", "cyan"))


@contextmanager
def _background() -> Iterator[tuple[ThreadPoolExecutor, threading.Event]]:
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        try:
            yield pool, stop
        finally:
            stop.set()


def _raise_failures(tasks: list[Future[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


def _say(console: Console, line: Text) -> None:
    console.print(Text(f"{datetime.now(UTC):%H:%M:%S} ", "dim").append_text(line), soft_wrap=True)
