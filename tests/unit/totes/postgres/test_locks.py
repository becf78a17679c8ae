import contextlib
import re
import threading
import time
from collections.abc import Iterator

import pytest

from local.postgres.databases import LOADER
from local.postgres.server import Postgres
from tests.support.pipeline import Pipeline
from totes.errors import WarehouseBusy
from totes.postgres import locks
from totes.postgres.connection import WAREHOUSE, connected
from totes.postgres.driver import PipelineConnection

ALTERED = "ALTER TABLE public.dim_date ADD COLUMN added integer"
USUAL = "SHOW lock_timeout"
IDLE = r"pid %s \(postgres, psql\), idle in transaction since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"


@contextlib.contextmanager
def session(pipeline: Pipeline, *statements: str, name: str = "psql") -> Iterator[int]:
    """Leaves a transaction with some statements open; yields its pid."""
    with pipeline.connection(pipeline.warehouse) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SET application_name = '{name}'")
        connection.commit()
        cursor.execute("SELECT pg_backend_pid()")
        ((pid,),) = cursor.fetchall()
        for statement in statements:
            cursor.execute(statement)
        yield pid
        connection.rollback()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOCK_SECONDS", 0.5)


def alter(star: PipelineConnection) -> None:
    star.execute("INSERT INTO public.dim_currency VALUES (9, 'CHF', 'Swiss Franc')")
    star.execute(ALTERED)


def test_change_keeps_the_usual_lock_timeout(star: PipelineConnection) -> None:
    with star.begin():
        assert locks.change_at_once(star, lambda: alter(star))
        assert star.execute(USUAL).scalar() == "20s"
        assert star.execute("SELECT count(added) FROM public.dim_date").scalar() == 0


def test_refused_change_leaves_nothing_and_locks_nothing(star: PipelineConnection, pipeline: Pipeline) -> None:
    with star.begin(), session(pipeline, "SELECT count(*) FROM dim_date"):
        assert not locks.change_at_once(star, lambda: alter(star))
        assert star.execute(USUAL).scalar() == "20s"
        assert star.execute("SELECT count(*) FROM public.dim_currency").scalar() == 0
        with session(pipeline, "SET lock_timeout = '50ms'", "LOCK TABLE dim_currency, dim_date IN SHARE MODE"):
            pass


def test_readers_wait_no_longer_than_it_queues(star: PipelineConnection, pipeline: Pipeline) -> None:
    waits: list[float] = []

    def read() -> None:
        with pipeline.connection(pipeline.warehouse) as connection:
            started = time.monotonic()
            connection.cursor().execute("SELECT count(*) FROM dim_date")
            waits.append(time.monotonic() - started)

    with star.begin(), session(pipeline, "SELECT count(*) FROM dim_date"):
        reader = threading.Timer(0.03, read)
        reader.start()
        assert not locks.change_at_once(star, lambda: alter(star))
        reader.join()
    # A busy machine answers late. A session that queues for good waits 20 s.
    assert waits[0] < locks.QUEUE_MILLISECONDS / 1000 + 3


def test_change_is_made_once_the_reader_has_gone(
    star: PipelineConnection, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as open_select, star.begin():
        open_select.enter_context(session(pipeline, "SELECT count(*) FROM dim_date"))
        pauses: list[float] = []
        monkeypatch.setattr(locks.time, "sleep", lambda seconds: (pauses.append(seconds), open_select.close()))
        locks.change_when_free(star, lambda: alter(star))
        assert len(pauses) == 1
        assert star.execute("SELECT count(*) FROM public.dim_currency").scalar() == 1


def refused(pipeline: Pipeline, statement: str, when_free: bool = False) -> str:
    """Runs a statement that gets no lock; returns the error's text."""

    def run() -> None:
        with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-test") as connection:
            if when_free:
                locks.change_when_free(connection, lambda: connection.execute(statement))
            connection.execute("SET LOCAL lock_timeout = '100ms'")
            connection.execute(statement, stream=iter(()) if statement.startswith("COPY") else None)

    with pytest.raises(WarehouseBusy) as caught:
        run()
    return str(caught.value)


@pytest.fixture
def knowing(postgres: Postgres) -> Iterator[None]:
    """Lets the loader see the state of other sessions."""
    postgres.execute(f"GRANT pg_read_all_stats TO {LOADER}")
    yield
    postgres.execute(f"REVOKE pg_read_all_stats FROM {LOADER}")


@pytest.mark.usefixtures("star", "hasty", "knowing")
def test_only_the_blocking_reader_is_named(pipeline: Pipeline) -> None:
    with (
        session(pipeline, "SELECT count(*) FROM dim_date") as analyst,
        session(pipeline, "SELECT count(*) FROM dim_staff", name="innocent"),
    ):
        text = refused(pipeline, ALTERED, when_free=True)
    assert re.search(f"locks are held by {IDLE % analyst}\\. Nothing to do unless", text)
    assert "end their sessions by pg_terminate_backend and prepared transactions by ROLLBACK PREPARED" in text


WEAK = {
    "reader of a table": ("SELECT count(*) FROM dim_date", ALTERED),
    "reader of a view": (
        "SELECT count(*) FROM current_payment",
        "CREATE OR REPLACE VIEW public.current_payment AS TABLE public.fact_payment",
    ),
    "reader who locks rows": ("SELECT * FROM dim_currency FOR UPDATE", "DROP TABLE public.dim_currency"),
    "reader who locks rows to write": (
        "SELECT * FROM dim_currency FOR UPDATE",
        "UPDATE public.dim_currency SET currency_name = 'y'",
    ),
    "reader who locks what a row refers to": (
        "SELECT * FROM dim_transaction FOR UPDATE",
        "INSERT INTO public.fact_probe VALUES (1)",
    ),
    "writer of a row": (
        "UPDATE dim_currency SET currency_name = 'x'",
        "UPDATE public.dim_currency SET currency_name = 'y'",
    ),
    "writer of a key": (
        "INSERT INTO dim_currency VALUES (8, 'x', 'x')",
        "INSERT INTO public.dim_currency VALUES (8, 'y', 'y')",
    ),
    "writer of what a row refers to": (
        "UPDATE dim_transaction SET transaction_id = 2",
        "INSERT INTO public.fact_probe VALUES (1)",
    ),
    "who keeps writers out": ("LOCK TABLE dim_currency IN SHARE MODE", "DELETE FROM public.dim_currency"),
    "who keeps a COPY out": ("LOCK TABLE dim_currency IN SHARE MODE", "COPY public.dim_currency FROM STDIN"),
}


@pytest.mark.parametrize(("theirs", "ours"), WEAK.values(), ids=WEAK)
def test_holder_of_any_lock_in_the_way_is_named(
    star: PipelineConnection, pipeline: Pipeline, theirs: str, ours: str
) -> None:
    with star.begin():
        star.execute("INSERT INTO public.dim_currency VALUES (1, 'GBP', 'Pound Sterling')")
        star.execute("INSERT INTO public.dim_transaction VALUES (1, 'SALE', NULL, NULL)")
        star.execute("CREATE TABLE public.fact_probe (transaction_id integer REFERENCES public.dim_transaction)")
    with (
        session(pipeline, theirs) as holder,
        session(pipeline, "INSERT INTO dim_design VALUES (1, 'a', 'b', 'c')", name="innocent"),
    ):
        text = refused(pipeline, ours)
    # The loader may not see the state of other sessions.
    assert f"locks are held by pid {holder} (postgres, psql). Nothing to do" in text


@pytest.mark.usefixtures("star")
def test_idle_reader_and_its_waiter_are_named(pipeline: Pipeline) -> None:
    """The loader waits for a migration that itself waits for a dump."""
    with pipeline.connection(pipeline.warehouse) as other, contextlib.ExitStack() as dumping:
        dump = dumping.enter_context(session(pipeline, "SELECT count(*) FROM dim_date"))
        other.cursor().execute("SET application_name = 'migrate'")
        other.commit()
        queued = threading.Thread(target=other.cursor().execute, args=(ALTERED,))
        queued.start()
        while not pipeline.star("SELECT 1 FROM pg_locks WHERE NOT granted"):
            time.sleep(0.01)
        text = refused(pipeline, "SELECT count(*) FROM public.dim_date")
        dumping.close()
        queued.join()
        other.rollback()
    assert f"pid {dump} (postgres, psql)" in text
    assert re.search(r"pid \d+ \(postgres, migrate\)", text)
