"""Works on the pipeline itself: the real size, repeated deliveries, growth and memory, cold starts."""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from unittest import mock

from benchmarks import totesys
from benchmarks.bench import Bench, Work
from benchmarks.catching_up import land
from benchmarks.environment import LANDING, Environment, environment, seeded
from benchmarks.freshness import freshness
from benchmarks.orders import OURS, QUIET_STAGES, STAGES
from benchmarks.processes import once, python, warm
from benchmarks.rounds import Competitor, Line, OursFailed, Outcome, Target, take_turns
from benchmarks.wire import counted
from local.postgres.databases import SOURCE, WAREHOUSE
from local.postgres.server import Postgres
from totes.lake.bucket import Lake

ASKED, TRIPS = "a driver that asks 11 tables", "round trips to totesys"
FIRST, AGAIN, AGAIN_AND_ONE = "first load", "all again", "all again, one of them changed"
EVERYTHING, NOTHING = "everything", "nothing"
IMPORTED = "pandas, pyarrow.csv, pyarrow.parquet, boto3, sqlalchemy, pg8000.dbapi, aws_lambda_powertools"
# 0.3 s if everything takes 0.84 s.
IMPORT_LIMIT = 0.36
MEMORY_LIMIT_MB = 512
GROWTH_LIMIT = 1.2
SAME_MEMORY_LIMIT = 1.1
# Above MANY rows, memory no longer grows. At TOO_MANY rows, there is time for only one round.
MANY, TOO_MANY = 1_000_000, 5_000_000
# A request's latency from Lambda to S3, and the limit of consecutive requests in a run without and with 100 changes.
S3_LATENCY = 0.015
DEPTHS = {"nothing changed": 4, "100 orders changed": 8}
SMALL_BATCHES, SMALL_BATCH_LIMIT_MS = 1_000, 20


def real_size(bench: Bench) -> Outcome:
    """Runs without changes in a totesys of the real size, in a warm process."""
    with seeded() as at, counted(at.postgres.host) as wire:
        with warm(at.environment) as process:
            process.run(*STAGES, "ask")
            lines = take_turns(
                [
                    Competitor(OURS, lambda: process.seconds(*QUIET_STAGES)),
                    Competitor(ASKED, lambda: process.seconds("ask")),
                ],
                bench.rounds,
                bench.tell,
            )
        with warm(at.source_by_way_of(wire.host)) as process:
            process.run(*STAGES)
            before = wire.round_trips
            process.run("ingest")
    trips = Line(TRIPS, [wire.round_trips - before], unit="")
    return Outcome([*lines, trips], [Target(OURS, ASKED, 3.0), Target(TRIPS, limit=9)])


def delivered_again(bench: Bench) -> Outcome:
    """Runs while a long-running transaction holds the fence back, so that every run reads all rows again."""
    with environment() as at, _old_transaction(at.postgres):
        bench.tell(f"filling totesys with {bench.rows:,} orders")
        totesys.fill(at.postgres, bench.rows)
        written: list[list[object]] = []

        def change_one() -> None:
            at.postgres.execute("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 1", SOURCE)

        def require_nothing_new() -> None:
            if _written(at) != written[-1]:
                raise OursFailed("the lake or the warehouse has something new, although nothing had changed")

        def require_one_version() -> None:
            if (versions := _versions(at)) != bench.rows + 1:
                raise OursFailed(f"there are {versions} versions, although one of {bench.rows} orders was changed")

        competitors = [
            Competitor(
                FIRST, lambda: once(at.environment, *STAGES)[0], at.forget, lambda: written.append(_written(at))
            ),
            Competitor(AGAIN, lambda: once(at.environment, *STAGES)[0], check=require_nothing_new),
            Competitor(AGAIN_AND_ONE, lambda: once(at.environment, *STAGES)[0], change_one, require_one_version),
        ]
        lines = take_turns(competitors, bench.rounds, bench.tell, in_order=True)
    return Outcome(lines, [Target(AGAIN, FIRST, 1.5), Target(AGAIN_AND_ONE, FIRST)])


def growth(bench: Bench) -> Outcome:
    """Measures the first load at several sizes, with a new process for each stage."""
    lines: list[Line] = []
    with contextlib.ExitStack() as environments:
        sizes = {size: environments.enter_context(_filled(bench, size)) for size in bench.sizes if size < TOO_MANY}
        lines += _measured_sizes(bench, sizes, bench.rounds)
    for size in bench.sizes:
        if size >= TOO_MANY:
            with _filled(bench, size) as at:
                lines += _measured_sizes(bench, {size: at}, 1)
    times = [Target(_name("a row", more), _name("a row", less), GROWTH_LIMIT) for less, more in pairwise(bench.sizes)]
    peaks = [Target(_name(stage, size), limit=MEMORY_LIMIT_MB) for stage in STAGES for size in bench.sizes]
    same = [
        Target(_name(stage, more), _name(stage, less), SAME_MEMORY_LIMIT if less >= MANY else None)
        for stage in STAGES
        for less, more in pairwise(bench.sizes)
    ]
    how = f"{bench.rounds} rounds, of {TOO_MANY:,} orders and more one" if bench.sizes[-1] >= TOO_MANY else ""
    return Outcome(lines, [*times, *peaks, *same], how)


def small_batches(bench: Bench) -> Outcome:
    """Catches up with many batches of one order each, with one call of each stage."""
    lines = {stage: Line(f"{stage}, a batch", unit="ms") for stage in ("transform", "load")}
    with seeded() as at, warm(at.environment) as process, mock.patch.dict(os.environ, at.environment):
        process.run(*STAGES)
        for turn in range(bench.rounds):
            bench.tell(f"round {turn + 1} of {bench.rounds}: landing {SMALL_BATCHES:,} batches")
            land(Lake(LANDING), SMALL_BATCHES)
            for stage, line in lines.items():
                measured = process.run(stage)[stage]
                if (batches := measured["result"]["batches"]) != SMALL_BATCHES:
                    raise OursFailed(f"{stage} did {batches} batches of {SMALL_BATCHES}")
                line.values.append(measured["seconds"] / SMALL_BATCHES * 1e3)
    return Outcome([*lines.values()], [Target(line.name, limit=SMALL_BATCH_LIMIT_MS) for line in lines.values()])


def far_s3(bench: Bench) -> Outcome:
    """Runs with and without a few changes, each with a local S3 and with a slow one.

    The extra time, divided by the latency, is the number of consecutive requests.
    """
    with contextlib.ExitStack() as environments:
        runs = [*_runs(environments, "near", 0.0), *_runs(environments, "far", S3_LATENCY)]
        lines = take_turns(runs, bench.rounds, bench.tell, in_order=True)
    half = len(lines) // 2
    depths = [
        Line(
            f"requests in a row, {what}",
            [(f - n) / S3_LATENCY for n, f in zip(near.values, far.values, strict=True)],
            unit="",
        )
        for what, near, far in zip(DEPTHS, lines[:half], lines[half:], strict=True)
    ]
    return Outcome(
        [*lines, *depths], [Target(line.name, limit=limit) for line, limit in zip(depths, DEPTHS.values(), strict=True)]
    )


def _runs(environments: contextlib.ExitStack, where: str, latency: float) -> Iterator[Competitor]:
    """Yields the competitors, in their own environment, in which everything has been loaded."""
    at = environments.enter_context(seeded(latency))
    process = environments.enter_context(warm(at.environment))
    process.run(*STAGES)
    (unchanged, changed) = DEPTHS
    amend = partial(
        at.postgres.execute, "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id % 112 = 1", SOURCE
    )
    yield Competitor(f"{unchanged}, S3 {where}", partial(process.seconds, *QUIET_STAGES))
    yield Competitor(f"{changed}, S3 {where}", partial(process.seconds, *STAGES), amend)


def cold_start(bench: Bench) -> Outcome:
    """Measures an interpreter that imports a handler and exits."""
    imports = {stage: f"functions.{stage}" for stage in STAGES} | {EVERYTHING: IMPORTED}
    competitors = [Competitor(name, partial(python, f"import {names}")) for name, names in imports.items()]
    lines = take_turns([*competitors, Competitor(NOTHING, partial(python, ""))], bench.rounds, bench.tell)
    return Outcome(lines, [Target(stage, EVERYTHING, IMPORT_LIMIT) for stage in STAGES])


WORKS = (
    Work("real-size", "Nothing changed in 11 tables of the real size, in a warm process", real_size),
    Work("delivered-again", "All orders delivered again, because of a long-running transaction", delivered_again),
    Work("growth", "Growth and memory of the first load, with a new process for each stage", growth),
    Work("small-batches", f"{SMALL_BATCHES:,} batches of one order each, in a warm process", small_batches),
    Work("far-s3", f"An S3 with {S3_LATENCY * 1e3:.0f} ms more for each request, in a warm process", far_s3),
    Work("cold-start", "Imports, in a new process each", cold_start),
    Work("freshness", "From a commit in totesys to the warehouse, with a run every minute", freshness),
)


def _filled(bench: Bench, size: int) -> contextlib.AbstractContextManager[Environment]:
    bench.tell(f"filling totesys with {size:,} orders")
    return environment(partial(totesys.fill, rows=size))


def _measured_sizes(bench: Bench, sizes: dict[int, Environment], rounds: int) -> list[Line]:
    """Returns each size's time per row, and each stage's memory peak."""
    peaks = {(stage, size): Line(_name(stage, size), unit="MB") for size in sizes for stage in STAGES}

    def load(size: int) -> float:
        seconds = 0.0
        for stage in STAGES:
            measured = once(sizes[size].environment, stage)[1][stage]
            peaks[stage, size].values.append(measured["peak_mb"])
            seconds += measured["seconds"]
        return seconds

    competitors = [Competitor(_name("a row", size), partial(load, size), sizes[size].forget) for size in sizes]
    times = take_turns(competitors, rounds, bench.tell)
    for line, size in zip(times, sizes, strict=True):
        line.unit, line.values = "µs", [value / size * 1e6 for value in line.values]
    return [*times, *peaks.values()]


def _name(what: str, size: int) -> str:
    return f"{what}, of {size:,}"


def _written(at: Environment) -> list[object]:
    """Returns the lake's keys, and the warehouse's numbers of batches and versions."""
    objects = [key for _, key in at.objects()]
    return [*objects, *at.postgres.execute("SELECT count(*) FROM etl.batch", WAREHOUSE), _versions(at)]


def _versions(at: Environment) -> int:
    return int(at.postgres.execute("SELECT count(*) FROM fact_sales_order", WAREHOUSE)[0][0])


@contextlib.contextmanager
def _old_transaction(postgres: Postgres) -> Iterator[None]:
    """Holds a transaction open that has an id, as if it had written."""
    with contextlib.closing(postgres.connect(SOURCE)) as connection:
        connection.cursor().execute("SELECT pg_current_xact_id()")
        yield
