"""`python -m benchmarks.catching_up --batches 8000`: how one execution brings many small batches into the warehouse.

The local stack runs the deployed state machine and functions with their deployed time limits. The batches are
landed here, without Ingest: each holds one amended order. Meanwhile an execution starts every five minutes, as on a
schedule.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from unittest import mock

import pyarrow as pa
import typer
from moto.s3.models import s3_backends

from cli.render.executions import summary
from cli.render.terminal import took
from local.business.seed import seed
from local.business.trading import MEASURED_UNTIL
from local.stack import Stack
from totes.alerts.executions import Execution, describe
from totes.contracts.declarations import source_tables
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake
from totes.lake.manifest import Manifest
from totes.lake.parquet import batches, landed_schema, parquet_writer

ORDERS = "sales_order"
EVERY_SECONDS = 300


def land(lake: Lake, number: int) -> None:
    """Lands batches, each with one order that was amended; the rest of a manifest is as in the batch before."""
    log = BatchLog(lake)
    previous = first = log.read(log.last())
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        orders = pa.Table.from_batches(batches(lake.fetch(first.tables[ORDERS]["data"], folder / "first")))
        for _ in range(number):
            previous = _next(previous)
            path = folder / "data"
            with parquet_writer(path, landed_schema(source_tables()[ORDERS])) as writer:
                writer.write(_amended(orders, previous))
            data = lake.add(path, f"data/{ORDERS}/batch={previous.batch:08d}", 1)
            tables = {**previous.tables, ORDERS: {**previous.tables[ORDERS], "data": data}}
            log.commit(replace(previous, tables=tables), hint=previous.batch == first.batch + number)


def _next(before: Manifest) -> Manifest:
    kept = {
        table: {part: stored for part, stored in parts.items() if part == "keys"}
        for table, parts in before.tables.items()
    }
    return replace(
        before,
        batch=before.batch + 1,
        snapshot_at=before.snapshot_at + timedelta(milliseconds=1),
        made_at=datetime.now(UTC),
        full_read={},
        tables=kept,
    )


def _amended(orders: pa.Table, manifest: Manifest) -> pa.Table:
    row = orders.slice(manifest.batch % orders.num_rows, 1).to_pylist()[0]
    amended = row | {"units_sold": 1 + manifest.batch, "last_updated": manifest.snapshot_at.replace(tzinfo=None)}
    return pa.Table.from_pylist([amended], orders.schema)


def main(
    number: Annotated[int, typer.Option("--batches", min=1, help="How many batches to catch up with.")] = 8_000,
) -> None:
    """Measure one execution that has many batches to load."""
    with TemporaryDirectory(prefix="bench-") as home:
        os.environ["TOTES_HOME"] = home
        with Stack() as stack:
            with closing(stack.connect_source()) as connection:
                seed(connection, until=MEASURED_UNTIL, scale=0.1)
            stack.wait(stack.start_execution())
            began = time.monotonic()
            with mock.patch.object(Lake, "_put_if_absent", _put_without_http):
                land(Lake(stack.names.landing_bucket), number)
            _say(f"{number:,} batches landed in {took(time.monotonic() - began)}")
            arn = stack.start_execution(name="catches-up")
            others = [describe(other) for other in _others(stack, arn)]
            found = describe(arn)
            _say(f"{found.name}: {found.status} after {took(found.seconds)}: {summary(found)}")
            _say_states(stack, found)
            for other in others:
                _say(f"{other.name}: {other.status} after {took(other.seconds)}: {summary(other)}")


def _put_without_http(lake: Lake, key: str, body: Any) -> bool:
    """Puts an object into moto in this process: as requests, they would take as long as the rest."""
    content = body if isinstance(body, bytes) else body.read()
    s3_backends[Stack.names.account]["aws"].put_object(lake.bucket, key, content)
    return True


def _others(stack: Stack, arn: str) -> Iterator[str]:
    """Yields the executions that the schedule starts until a given one has ended, each after it has ended."""
    others = []
    while True:
        try:
            stack.wait(arn, EVERY_SECONDS)
        except TimeoutError:
            others.append(stack.start_execution())
        else:
            break
    for other in others:
        stack.wait(other, 10 * EVERY_SECONDS)
        yield other


def _say_states(stack: Stack, execution: Execution) -> None:
    for state in execution.states:
        if state.name in ("Transform", "Load") and state.output:
            done = json.loads(state.output)[state.name.lower()]
            _say(f"  {state.name} {took(state.seconds)}, {state.attempts} attempts: {done['batches']:,} batches so far")
    pages = stack.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution.arn)
    events: list[Any] = [event for page in pages for event in page["events"]]
    states = Counter(state.name for state in execution.states)
    largest = max(len(state.output or "") for state in execution.states)
    _say(f"  {len(events)} events in the history; states: {dict(states)}; largest output {largest:,} characters")


def _say(line: str) -> None:
    typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
