"""A run sends few requests to S3 one after the other. The way to S3 takes most of a run's time."""

from collections.abc import Iterator
from dataclasses import asdict

import pytest

from tests.support import s3_wire
from tests.support.pipeline import Pipeline
from tests.support.s3_wire import Trace, traced
from totes.contracts.requests import Request
from totes.load import load
from totes.runtime.settings import LoadSettings, TransformSettings
from totes.transform import transform


@pytest.fixture(autouse=True)
def _slow_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes requests so slow that two overlap unless one waits for the other's answer."""
    monkeypatch.setattr(s3_wire, "_LATENCY", 1)


def stages(pipeline: Pipeline) -> Iterator[Trace]:
    """Yields the requests of each stage. As in an execution, a stage gets the results of the stages before it."""
    so_far = {}
    with traced() as trace:
        so_far["ingest"] = asdict(pipeline.ingest())
    yield trace
    with traced() as trace:
        settings = TransformSettings(pipeline.landing_bucket, pipeline.processed_bucket)
        so_far["transform"] = asdict(transform(settings, Request(pipeline.execution, so_far=so_far)))
    yield trace
    with traced() as trace:
        load(
            LoadSettings(pipeline.processed_bucket, f"{pipeline.name}/warehouse"),
            Request(pipeline.execution, so_far=so_far),
        )
    yield trace


def test_idle_run_waits_for_few_requests(seeded: Pipeline) -> None:
    assert [trace.depth for trace in stages(seeded)] == [2, 1, 1]


def test_stage_waits_no_more_often_for_more_tables(seeded: Pipeline) -> None:
    for table in ("staff", "design", "currency", "sales_order", "purchase_order"):
        seeded.totesys(f"UPDATE {table} SET last_updated = now() WHERE {table}_id < 20")
    seeded.totesys("DELETE FROM payment WHERE payment_id = 9")
    traces = list(stages(seeded))
    assert [trace.depth for trace in traces] == [6, 5, 3], "\n\n".join(map(str, traces))
