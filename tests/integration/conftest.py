from collections.abc import Iterator
from itertools import count

import pytest
from pg8000.native import identifier

from local.databases import LOADER
from local.postgres import Postgres
from tests.conftest import MakesPipelines
from tests.pipeline import Pipeline
from tests.replays import declare_quarantine, make_history

_copies = count(1)


@pytest.fixture(scope="module")
def history(pipelines: MakesPipelines, drill_totesys: str) -> Iterator[Pipeline]:
    """Six batches with amendments, deletions, a quarantine, a broken rule, and loads that died. Not to be changed."""
    with pipelines(drill_totesys) as pipeline, pytest.MonkeyPatch.context() as patch:
        declare_quarantine(patch)
        make_history(pipeline)
        yield pipeline


@pytest.fixture
def live(history: Pipeline, postgres: Postgres) -> Iterator[Pipeline]:
    """The same with a warehouse of the test's own."""
    original, copy = history.warehouse, f"replay_{next(_copies)}"
    postgres.execute(f"CREATE DATABASE {copy} TEMPLATE {identifier(original)} OWNER {LOADER}")
    history.warehouse = copy
    history.put_secret("warehouse", copy, LOADER)
    yield history
    history.warehouse = original
    postgres.execute(f"DROP DATABASE {copy} WITH (FORCE)")


@pytest.fixture
def drilled(pipelines: MakesPipelines, drill_totesys: str) -> Iterator[Pipeline]:
    """A pipeline of some hundred orders that has run once."""
    with pipelines(drill_totesys) as pipeline:
        pipeline.run()
        yield pipeline
