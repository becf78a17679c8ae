import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from local.aws.schedule import Scheduler, parse_rate
from local.stack import Stack
from tests.unit.local.processes import eventually

pytestmark = pytest.mark.server

QUICK = timedelta(seconds=0.15)


@pytest.mark.parametrize(
    ("expression", "minutes"),
    [
        ("rate(1 minute)", 1),
        ("rate(5 minutes)", 5),
        ("rate(1 hour)", 60),
        ("rate(12 hours)", 720),
        ("rate(2 days)", 2880),
    ],
)
def test_rate_is_parsed_into_its_interval(expression: str, minutes: int) -> None:
    assert parse_rate(expression) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(0 minutes)",
        "rate(05 minutes)",
        "rate(-5 minutes)",
        "rate(5 seconds)",
        "rate(5  minutes)",
        "rate(5 minutes) ",
        "rate(1.5 hours)",
        "5 minutes",
        "cron(0/5 * * * ? *)",
        "",
    ],
)
def test_anything_else_is_refused_with_an_example(expression: str) -> None:
    with pytest.raises(ValueError, match=r"write rate\(1 minute\)"):
        parse_rate(expression)


def test_first_execution_starts_at_once_with_empty_input(stack: Stack) -> None:
    with running(stack) as (started, _):
        assert eventually(lambda: len(started) == 1)
        time.sleep(0.3)

        assert len(started) == 1, "the rule's rate is minutes"
        assert stack.wait(started[0])["input"] == "{}"


def test_executions_start_at_the_given_rate(stack: Stack) -> None:
    began = time.monotonic()
    with running(stack, every=QUICK) as (started, _):
        assert eventually(lambda: len(started) >= 5)

    assert time.monotonic() - began >= 4 * QUICK.total_seconds()
    assert len(set(started)) == len(started)


def test_disabled_rule_pauses_until_it_is_enabled(stack: Stack) -> None:
    events, rule = stack.client("events"), stack.names.rule
    events.disable_rule(Name=rule)
    with running(stack, every=QUICK) as (started, _):
        time.sleep(4 * QUICK.total_seconds())
        assert started == []

        events.enable_rule(Name=rule)
        assert eventually(lambda: len(started) >= 2)


def test_stop_ends_the_schedule_at_once(stack: Stack) -> None:
    with running(stack) as (started, thread):
        assert eventually(lambda: len(started) == 1)
        stopped = time.monotonic()

    assert not thread.is_alive()
    # The next execution starts only minutes later.
    assert time.monotonic() - stopped < 60


def test_next_start_is_known_while_the_schedule_runs(stack: Stack) -> None:
    assert stack.next_start is None
    before = datetime.now(UTC)
    with running(stack) as (started, _):
        assert eventually(lambda: stack.next_start is not None and len(started) == 1)
        assert stack.next_start is not None
        assert timedelta(minutes=4) < stack.next_start - before < timedelta(minutes=6)
    assert stack.next_start is None


def test_rule_that_is_no_rate_is_an_error(stack: Stack) -> None:
    events, rule = stack.client("events"), stack.names.rule
    before = events.describe_rule(Name=rule)["ScheduleExpression"]
    events.put_rule(Name=rule, ScheduleExpression="cron(0 8 * * ? *)")

    with pytest.raises(ValueError, match="cron"):
        Scheduler(stack).run(threading.Event())

    events.put_rule(Name=rule, ScheduleExpression=before)


@contextmanager
def running(stack: Stack, every: timedelta | None = None) -> Iterator[tuple[list[str], threading.Thread]]:
    """Yields the executions that a schedule has started; the schedule runs in a thread, and stops at the end."""
    started: list[str] = []
    stop = threading.Event()
    thread = threading.Thread(target=Scheduler(stack, every, started.append).run, args=(stop,))
    thread.start()
    try:
        yield started, thread
    finally:
        stop.set()
        thread.join(10)
