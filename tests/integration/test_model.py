"""Nothing is lost and nothing doubled, however writers, executions and crashes interleave.

Every run draws other interleavings. One that fails is kept in .hypothesis, and tried first the next time;
@reproduce_failure on `machine` with its blob reproduces it, too. `make soak` sets MODEL_SECONDS: then the test runs for
so long, and reduces a failing example as far as possible.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from pg8000.native import literal

from local.postgres.databases import LOADER, READER, READER_RIGHTS, SOURCE_SCHEMA
from local.postgres.server import Postgres
from tests.support.back_office import FOUNDATION
from tests.support.clusters import Cluster, folder_for_clusters
from tests.support.interleaving import Interleaving, Tally
from tests.support.migrations import PREPARATIONS
from tests.support.pipeline import Pipeline
from tests.support.served_aws import served_aws
from totes.postgres.connection import TOTESYS, WAREHOUSE

MakesPipeline = Callable[[], AbstractContextManager[Pipeline]]

FOUNDED = "template_founded"
# During an example, no commit reaches the disk unless somebody waits for that. No client releases a lock while another
# one waits for it.
SERVER = {"wal_writer_delay": "10s", "lock_timeout": "20ms", "autovacuum": "off"}
SECONDS = float(os.environ.get("MODEL_SECONDS", "0"))
SETTINGS = settings(
    max_examples=8,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    # Every step may be slow, and hosts differ in speed.
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate, *([Phase.target, Phase.shrink] if SECONDS else [])],
)


@pytest.fixture
def cluster(passwords: dict[str, str]) -> Iterator[Cluster]:
    """Yields the server of totesys. It crashes and is restarted, and lets no session wait long for a lock."""
    with folder_for_clusters() as folder, Cluster(folder / "source", SERVER) as server:
        server.execute(f"CREATE ROLE {READER} LOGIN PASSWORD {literal(passwords[READER])}")
        server.create_database(FOUNDED)
        with contextlib.closing(server.connect(FOUNDED)) as connection:
            cursor = connection.cursor()
            for statement in (SOURCE_SCHEMA.read_text(encoding="utf-8"), *READER_RIGHTS, *FOUNDATION, *PREPARATIONS):
                cursor.execute(statement)
            connection.commit()
        yield server


@pytest.fixture
def founded(postgres: Postgres, passwords: dict[str, str], cluster: Cluster) -> MakesPipeline:
    """Returns a function that makes pipelines. Their totesys has the rows to which orders refer, and no order."""
    numbers = count(1)

    @contextlib.contextmanager
    def make() -> Iterator[Pipeline]:
        source, warehouse = (f"{name}_of_example_{next(numbers)}" for name in ("totesys", "warehouse"))
        cluster.execute(f"CREATE DATABASE {source} TEMPLATE {FOUNDED}")
        postgres.execute(f"CREATE DATABASE {warehouse} OWNER {LOADER}")
        yield Pipeline(postgres, source, warehouse, passwords, source_postgres=cluster)
        cluster.execute(f"DROP DATABASE {source} WITH (FORCE)")
        postgres.execute(f"DROP DATABASE {warehouse} WITH (FORCE)")

    return make


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes an execution in the middle of another one wait for nothing: the other one continues only afterwards."""
    monkeypatch.setattr("totes.source.snapshot.LOCKING_SECONDS", 0.03)
    monkeypatch.setattr("totes.source.snapshot._PAUSE", 0.02)
    for name, database in (("ingest.TOTESYS", TOTESYS), ("load.WAREHOUSE", WAREHOUSE)):
        hasty = replace(database, session={**database.session, "lock_timeout": "50ms"})
        monkeypatch.setattr(f"totes.{name}", hasty)


@pytest.mark.usefixtures("impatient")
def test_no_interleaving_loses_or_doubles_anything(
    founded: MakesPipeline, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    tally, end = Tally(), time.monotonic() + SECONDS

    def machine() -> Interleaving:
        return Interleaving(founded(), cluster, tally)

    try:
        with served_aws():
            run_state_machine_as_test(machine, settings=SETTINGS)
            while time.monotonic() < end:
                run_state_machine_as_test(machine, settings=SETTINGS)
    except Exception:
        tally["violations"] += 1
        raise
    finally:
        if SECONDS:
            with capsys.disabled():
                print(f"\n{tally}")  # noqa: T201  the result of a soak
