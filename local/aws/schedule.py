"""EventBridge's part on a laptop: moto stores rules and fires none, so this reads the deployed rule and fires it."""

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
    """The interval of a rate expression, as strict as EventBridge: `rate(1 minute)`, `rate(5 minutes)`.

    Raises:
        ValueError: it is something else.
    """
    match = _RATE.fullmatch(expression)
    if match is None or (int(match[1]) == 1) == bool(match[3]):
        raise ValueError(
            f"{expression!r} is no rate that EventBridge takes: write rate(1 minute), rate(5 minutes), rate(1 hour), "
            "rate(2 days) and so on (cron expressions are not run locally)."
        )
    return timedelta(**{f"{match[2]}s": int(match[1])})


class Scheduler:
    """Starts executions with input `{}` at the rate of the deployed rule, whatever still runs, as EventBridge does.

    Args:
        stack: where the rule and the state machine are.
        every: replaces the rule's rate, for demonstrations.
        started: is given the ARN of each execution, in the thread that runs the schedule.
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
        """Fire at once and then at the rate, until `stop` is set.

        The rule is read again each time: a changed rate counts from the next execution on, and a disabled rule starts
        nothing until it is enabled. Times that were missed, because the laptop slept, are not made up for.

        Raises:
            ValueError: the rule's expression is no rate.
        """
        try:
            for due in self._moments(stop):
                self._stack.next_start = datetime.now(UTC) + timedelta(seconds=due - time.monotonic())
        finally:
            self._stack.next_start = None

    def _moments(self, stop: "threading.Event") -> Iterator[float]:
        """Fires at each moment, and then yields the next one by the monotonic clock."""
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
