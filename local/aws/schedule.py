"""Runs the schedule on the local stack: reads the deployed rule and fires it, because moto only stores rules."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

    from local.stack import Stack

_RATE = re.compile(r"rate\(([1-9][0-9]*) (minute|hour|day)(s?)\)")


def parse_rate(expression: str) -> timedelta:
    """Returns a rate expression's interval. As strict as EventBridge: `rate(1 minute)`, `rate(5 minutes)`.

    Raises:
        ValueError: the expression has another form.
    """
    match = _RATE.fullmatch(expression)
    if match is None or (int(match[1]) == 1) == bool(match[3]):
        raise ValueError(
            f"{expression!r} is not a rate that EventBridge accepts: write rate(1 minute), rate(5 minutes), "
            "rate(1 hour), rate(2 days) and so on (the local stack can't run cron expressions)."
        )
    return timedelta(**{f"{match[2]}s": int(match[1])})


class Scheduler:
    """Starts executions with input `{}` at the deployed rule's rate, even if others still run, as EventBridge does.

    Args:
        stack: the stack with the rule and the state machine.
        every: overrides the rule's rate, for demonstrations.
        started: called with each execution's ARN, in the schedule's thread.
    """

    def __init__(
        self,
        stack: "Stack",
        every: timedelta | None = None,
        started: Callable[[str], None] = lambda _arn: None,
    ) -> None:
        self._stack = stack
        self._every = every
        self._started = started

    def run(self, stop: "threading.Event") -> None:
        """Fires at once and then at the rate, until `stop` is set.

        Reads the rule again each time: a changed rate applies after the next execution, and a disabled rule starts
        nothing. Does not catch up on missed times, for instance while the laptop slept.

        Raises:
            ValueError: the rule's expression is not a rate.
        """
        try:
            for due in self._moments(stop):
                self._stack.next_start = datetime.now(UTC) + timedelta(seconds=due - time.monotonic())
        finally:
            self._stack.next_start = None

    def _moments(self, stop: "threading.Event") -> Iterator[float]:
        """Fires at each due time, then yields the next due time on the monotonic clock."""
        events = self._stack.client("events")
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            rule = events.describe_rule(Name=self._stack.names.rule)
            interval = (self._every or parse_rate(rule["ScheduleExpression"])).total_seconds()
            if rule["State"] == "ENABLED":
                self._started(self._stack.start_execution())
            now = time.monotonic()
            due = due + interval if due + interval > now else now + interval
            yield due
