from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count

import pytest
from pg8000.native import identifier

from cli.main import main
from local.business.seed import seed
from local.business.trading import MEASURED_UNTIL
from local.postgres.databases import LOADER
from local.postgres.server import Postgres
from local.stack import Stack
from tests.conftest import MakesPipelines
from tests.support.loaded import Loaded
from tests.support.pipeline import Pipeline
from tests.support.replays import declare_quarantine, make_history

Totes = Callable[..., tuple[int, str, str]]

_copies = count(1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yields a stack in a home of its own, its source seeded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOTES_HOME", str(tmp_path_factory.mktemp("home")))
        with Stack() as stack:
            with closing(stack.connect_source()) as connection:
                seed(connection, until=MEASURED_UNTIL, scale=0.1)
            yield stack


@pytest.fixture
def totes(stack: Stack, capsys: pytest.CaptureFixture[str]) -> Totes:
    """Returns a function that runs a command line against the stack, and returns exit code, stdout and stderr."""

    def run(line: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(line.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def change(stack: Stack, statement: str, *values: object, database: str = "totesys") -> None:
    """Runs and commits one statement in a database of a stack."""
    with closing(stack.postgres.connect(database)) as connection:
        connection.cursor().execute(statement, values)
        connection.commit()


@pytest.fixture(scope="module")
def history(pipelines: MakesPipelines, small_totesys: str) -> Iterator[Pipeline]:
    """Yields six batches with amendments, deletions, a quarantine, a broken rule, and loads that died. For reading
    only.
    """
    with pipelines(small_totesys) as pipeline, pytest.MonkeyPatch.context() as patch:
        declare_quarantine(patch)
        make_history(pipeline)
        yield pipeline


@pytest.fixture
def live(history: Pipeline, postgres: Postgres) -> Iterator[Pipeline]:
    """Yields the same history with a warehouse of the test's own."""
    original, copy = history.warehouse, f"replay_{next(_copies)}"
    postgres.execute(f"CREATE DATABASE {copy} TEMPLATE {identifier(original)} OWNER {LOADER}")
    history.warehouse = copy
    history.put_secret("warehouse", copy, LOADER)
    yield history
    history.warehouse = original
    postgres.execute(f"DROP DATABASE {copy} WITH (FORCE)")


@pytest.fixture
def small(pipelines: MakesPipelines, loaded_small: Loaded) -> Iterator[Pipeline]:
    """Yields a pipeline of some hundred orders that has run once."""
    with pipelines(loaded_small) as pipeline:
        yield pipeline
