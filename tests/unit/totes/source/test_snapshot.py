import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pg8000.dbapi
import pytest

from local.postgres.databases import READER
from tests.support.injection import at_statement, statements
from tests.support.pipeline import Pipeline
from tests.unit.totes.source.test_validation import catalogue
from totes.contracts.declarations import source_tables
from totes.errors import DatabaseFailed, SourceBusy
from totes.postgres.connection import TOTESYS, connected
from totes.postgres.driver import PipelineConnection
from totes.postgres.statements import sql
from totes.source import snapshot as snapshots
from totes.source.snapshot import snapshot
from totes.source.windows import Window

LOCK = "LOCK TABLE"
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes Ingest give up its attempts at locks sooner, and any wait for a lock end after a second."""
    monkeypatch.setattr(snapshots, "LOCKING_SECONDS", 0.5)
    monkeypatch.setitem(TOTESYS.session, "lock_timeout", "1s")  # type: ignore[arg-type]  # it is a dict


@contextlib.contextmanager
def reader(pipeline: Pipeline) -> Iterator[PipelineConnection]:
    credentials = pipeline.credentials(pipeline.source, READER)
    with connected(TOTESYS, credentials, "totes-test") as connection:
        yield connection


@contextlib.contextmanager
def locked(pipeline: Pipeline, table: str) -> Iterator[pg8000.dbapi.Connection]:
    """Yields a session that has an exclusive lock on a table."""
    with pipeline.connection(pipeline.source) as other:
        other.cursor().execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield other


@pytest.mark.parametrize("tables", [(), ("payment", "staff")], ids=["all", "those that are named"])
def test_tables_are_locked(pipeline: Pipeline, tables: Sequence[str]) -> None:
    locks = (
        "SELECT relname FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
        "WHERE pid = pg_backend_pid() AND mode = 'AccessShareLock'"
    )
    with reader(pipeline) as connection, snapshot(connection, tables):
        found = {name for (name,) in connection.execute(locks)}
    assert found & source_tables().keys() == set(tables or source_tables())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("table", ["address", "transaction"])
def test_lock_is_tried_again_and_never_waited_for(pipeline: Pipeline, table: str) -> None:
    with (
        locked(pipeline, table),
        statements(LOCK) as attempts,
        pytest.raises(SourceBusy, match="locks are held by pid"),
        reader(pipeline) as connection,
        snapshot(connection),
    ):
        pass
    assert len(attempts) > 1


def test_table_that_becomes_free_is_locked(pipeline: Pipeline) -> None:
    with locked(pipeline, "payment") as other:

        def commit() -> None:
            if len(attempts) == 2:
                other.commit()

        with at_statement(LOCK, commit, times=2) as attempts, reader(pipeline) as connection, snapshot(connection):
            pass
    assert len(attempts) == 2


@pytest.fixture
def insert(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Returns a function that inserts a statement into position.sql, before the line that begins with a text."""

    def change(before: str, statement: str) -> None:
        text = sql("source", "position")
        assert text.count(f"\n{before}") == 1
        changed = text.replace(f"\n{before}", f"\n{statement};\n{before}")
        monkeypatch.setattr(snapshots, "sql", lambda room, name: changed if name == "position" else sql(room, name))

    return change


def test_what_is_committed_before_the_locks_is_in_the_snapshot(
    pipeline: Pipeline, insert: Callable[[str, str], None]
) -> None:
    pipeline.totesys("CREATE TABLE gate ()")
    # This LOCK waits, and takes no snapshot.
    insert(LOCK, "LOCK TABLE gate IN ACCESS SHARE MODE")
    with locked(pipeline, "gate") as gate:

        def reload() -> None:
            give_up = time.monotonic() + 10
            while not pipeline.totesys(WAITING):
                assert time.monotonic() < give_up
            pipeline.totesys("INSERT INTO currency VALUES (1, 'GBP', '2024-01-01', '2024-01-01')")
            gate.commit()

        with ThreadPoolExecutor(1) as worker, reader(pipeline) as connection:
            reloaded = worker.submit(reload)
            with snapshot(connection) as taken:
                reloaded.result()
                assert taken.counts({"currency": Window(None)})["currency"].all == 1


def test_transaction_with_an_id_of_its_own_is_refused(pipeline: Pipeline, insert: Callable[[str, str], None]) -> None:
    insert("SELECT", "DO 'BEGIN PERFORM pg_catalog.pg_current_xact_id(); END'")
    with pytest.raises(DatabaseFailed, match="has the id"), reader(pipeline) as connection, snapshot(connection):
        pass


class Standby:
    """A standby that replays one more byte before each statement.

    Attributes:
        seen: how many bytes the last snapshot shows.
        asked: all statements.
    """

    def __init__(self) -> None:
        self._replayed = 0
        self.seen = 0
        self.asked = ""

    def begin(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def rollback(self) -> None:
        pass

    def execute(self, statement: object) -> Any:
        self._replayed += 1
        self.asked += str(statement)
        if "pg_last_wal_replay_lsn() AS text)" in str(statement):
            return SimpleNamespace(mappings=lambda: [{"lsn": f"0/{self._replayed:X}"}])
        self.seen = self._replayed
        answer = SimpleNamespace(
            database=1,
            xmin=1_000,
            xmax=1_000,
            own_id=None,
            snapshot_at=datetime.now(UTC),
            in_recovery=True,
            allowed=[f"pg_catalog.{function}" for function in snapshots._FUNCTIONS],
        )
        return SimpleNamespace(one=lambda: answer)


def test_standby_is_asked_before_its_snapshot_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "read_catalogue", lambda _connection: catalogue())
    standby: Any = Standby()
    with snapshot(standby) as taken:
        assert (taken.position.in_recovery, taken.position.timeline) == (True, None)
    # The snapshot may or may not show a record that was replayed in between.
    assert taken.position.lsn is not None
    assert taken.end is not None
    assert int(taken.position.lsn[2:], 16) < standby.seen < int(taken.end[2:], 16)


def test_start_of_a_standby_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standby's restart says nothing about the primary."""
    monkeypatch.setattr(snapshots, "read_catalogue", lambda _connection: catalogue())
    standby: Any = Standby()
    with snapshot(standby) as taken:
        assert taken.position.started_at is None
    assert "AS lsn" in standby.asked
    assert "AS started_at" not in standby.asked
