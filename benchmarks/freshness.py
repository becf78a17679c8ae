"""Measures how long a change takes from its commit to the warehouse, with a run every minute on simulated working days.

The days pass in simulated time: each event has its time, and the next run starts within the minute. The run's duration
is real. Most events of the back office happen at the same second of a minute, so the runs start at another second each
day. Minutes without events are skipped, because their runs would find nothing.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from itertools import groupby
from statistics import quantiles

import numpy as np

from benchmarks.bench import Bench
from benchmarks.environment import Environment, seeded
from benchmarks.orders import STAGES
from benchmarks.processes import warm
from benchmarks.rounds import Line, OursFailed, Outcome, Target
from local.business import trading
from local.business.simulator import DayReport, Event, Simulator
from local.postgres.databases import SOURCE, WAREHOUSE

DELAYS, RUNS = "change to warehouse, 99 of 100", "a run, 99 of 100"
DELAYS_MEDIAN, RUNS_MEDIAN = "change to warehouse, half of them", "a run, half of them"
EVERY = timedelta(minutes=1)


def freshness(bench: Bench) -> Outcome:
    """Simulates working days at the real business's rates, on a totesys of the real size."""
    delays: list[float] = []
    runs: list[float] = []
    with seeded() as at, warm(at.environment) as process, closing(at.postgres.connect(SOURCE)) as connection:
        process.run(*STAGES)
        simulator = Simulator(connection)
        for number, day in enumerate(_working_days(bench.days)):
            bench.tell(f"day {number + 1} of {bench.days}")
            report = DayReport(day)
            for begins, events in _by_run(list(simulator.events(day)), EVERY * number / bench.days):
                for event in events:
                    event.apply(report)
                runs.append(process.seconds(*STAGES))
                delays += [(begins - event.moment).total_seconds() + runs[-1] for event in events]
        _check(at)
    lines = [
        Line(DELAYS_MEDIAN, [_share(delays, 50)]),
        Line(DELAYS, [_share(delays, 99)]),
        Line(RUNS_MEDIAN, [_share(runs, 50)]),
        Line(RUNS, [_share(runs, 99)]),
    ]
    return Outcome(lines, [Target(DELAYS, limit=90.0), Target(RUNS, limit=2.0)], f"{bench.days} working days")


def _working_days(count: int) -> list[date]:
    first = trading.MEASURED_UNTIL + timedelta(days=1)
    days = trading.working_days(first, first + timedelta(days=2 * count + 7))
    return [day.astype(date) for day in np.asarray(days, "datetime64[D]")[:count]]


def _by_run(events: list[Event], phase: timedelta) -> Iterator[tuple[datetime, list[Event]]]:
    """Yields the events by the start time of the run that finds them. Runs start `phase` after each full minute."""

    def begins(event: Event) -> datetime:
        return (event.moment - phase).replace(second=0, microsecond=0) + EVERY + phase

    # The groups are in time order. The events within a minute keep their order.
    for moment, group in groupby(sorted(events, key=begins), key=begins):
        yield moment, list(group)


def _check(at: Environment) -> None:
    """Checks that the warehouse has all orders and payments."""
    for table, column in (
        ("sales_order", "unit_price"),
        ("purchase_order", "item_unit_price"),
        ("payment", "paid::int"),
    ):
        columns = f"count(*), sum({column})"
        expected = at.postgres.execute(f"SELECT {columns} FROM public.{table}", SOURCE)
        found = at.postgres.execute(f"SELECT {columns} FROM current_{table}", WAREHOUSE)
        if found != expected:
            raise OursFailed(f"current_{table} has {found[0]}, totesys has {expected[0]}")


def _share(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]
