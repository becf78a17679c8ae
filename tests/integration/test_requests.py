"""The longest chain of requests to S3 in a run: such requests take most of its time."""

from collections.abc import Iterator
from dataclasses import asdict

import pytest

from tests.support import s3_wire
from tests.support.cold import forget_logs
from tests.support.pipeline import Pipeline
from tests.support.s3_wire import Trace, traced
from totes.contracts.requests import Request
from totes.load import load
from totes.runtime.settings import LoadSettings, TransformSettings
from totes.transform import transform


@pytest.fixture(autouse=True)
def _slow_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests overlap if they follow each other only because of work in between."""
    monkeypatch.setattr(s3_wire, "_LATENCY", 1)


def stages(pipeline: Pipeline) -> Iterator[Trace]:
    """Yields the requests of each stage; as in an execution, each stage gets the earlier stages' results."""
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


@pytest.fixture
def pipeline(seeded: Pipeline, request: pytest.FixtureRequest) -> Pipeline:
    """Yields a pipeline whose functions have just started, or remember the end of the logs."""
    seeded.execution = f"{seeded.execution}-2"
    forget_logs()
    if request.param == "warm":
        seeded.landed().last()
        seeded.processed().last()
    return seeded


@pytest.mark.parametrize(("pipeline", "expected"), [("cold", [2, 1, 1]), ("warm", [1, 1, 1])], indirect=["pipeline"])
def test_idle_run_waits_for_few_requests(pipeline: Pipeline, expected: list[int]) -> None:
    assert [trace.depth for trace in stages(pipeline)] == expected


@pytest.mark.parametrize(("pipeline", "expected"), [("cold", [5, 3, 1]), ("warm", [4, 3, 1])], indirect=["pipeline"])
def test_stage_waits_no_more_often_for_more_tables(pipeline: Pipeline, expected: list[int]) -> None:
    for table in ("staff", "design", "currency", "sales_order", "purchase_order"):
        pipeline.totesys(f"UPDATE {table} SET last_updated = now() WHERE {table}_id < 20")
    pipeline.totesys("DELETE FROM payment WHERE payment_id = 9")
    traces = list(stages(pipeline))
    assert [trace.depth for trace in traces] == expected, "\n\n".join(map(str, traces))
