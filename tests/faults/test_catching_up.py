"""F71 and F72: more batches than one function has time for, and a disk that is too small for a batch."""

import contextlib
import itertools
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cli.render.executions import summary
from cli.render.summary import describe_end
from local.lambda_runtime.runtime import InvokeResult
from tests.faults.outcome import Execution
from tests.faults.scenario import HEAL, HOLD, Scenario, fault
from tests.support.allowances import half_used_after
from tests.support.injection import at_statement
from totes.alerts.executions import describe
from totes.alerts.failure import fresh_as_of, recovery_of

MANY = 24
FULL = Path("/dev/full")
PASS = ["Transform", "Load", "MoreToDo?"]
needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


def amend(scenario: Scenario) -> None:
    scenario.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 7")


def fall_behind(scenario: Scenario, batches: int) -> None:
    """Lands batches and processes none of them."""
    for _ in range(batches):
        amend(scenario)
        scenario.pipeline.ingest()


class Meeting:
    """Two executions that load at once: the second loads two batches, and then waits until the first has ended."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._statements = contextlib.ExitStack()
        self._locks = itertools.count(1)
        self._first_waits, self._first_ended = threading.Event(), threading.Event()
        self.second = ""

    def __enter__(self) -> Execution:
        """Runs the first one while the second one waits; each of the second's batches takes a transaction."""
        self._statements.enter_context(mock.patch("totes.warehouse.batch_loader.MOST_TOGETHER", 1))
        self._statements.enter_context(at_statement("pg_advisory_xact_lock", self._lock, times=4))
        return self._scenario.run()

    def __exit__(self, *_: object) -> None:
        """Lets the second one end."""
        self._first_ended.set()
        self.ended = self._scenario.wait(self.second)
        self._statements.close()

    def _lock(self) -> None:
        match next(self._locks):
            case 1:
                amend(self._scenario)
                self.second = self._scenario.start()
                assert self._first_waits.wait(30)
            case 4:
                self._first_waits.set()
                assert self._first_ended.wait(30)


@fault("F71", "there are more small batches than a function has time for", HEAL)
def test_f71_one_execution_catches_up_in_many_passes(scenario: Scenario) -> None:
    fall_behind(scenario, MANY)
    with (
        mock.patch("functions.transform.Allowance", side_effect=lambda _remaining: half_used_after(9)),
        mock.patch("functions.load.Allowance", side_effect=lambda _remaining: half_used_after(5)),
    ):
        caught_up = scenario.run()

    assert caught_up.retried == []
    # 24 batches: Transform takes nine in a pass, and Load five.
    assert caught_up.path == ["Ingest", "NewData?", *PASS * 5, "AnythingLoaded?", "Loaded"]
    load = caught_up.output["load"]
    assert (load["first"], load["last"], load["batches"]) == (2, MANY + 1, MANY)
    assert load["inserted"] == {"fact_sales_order": MANY}
    assert summary(describe(caught_up.arn)).startswith(f"batches 2 to {MANY + 1} loaded: sales_order {MANY}")


@fault("F71", "executions overlap while one of them catches up", HEAL)
def test_f71_overtaken_execution_names_the_other(scenario: Scenario) -> None:
    fall_behind(scenario, 5)
    with (meeting := Meeting(scenario)) as first:
        pass
    second = meeting.ended

    assert (first.path[-1], second.path[-1]) == ("AnotherCatchesUp", "Loaded")
    assert first.output["load"]["catching_up"] == second.arn
    assert second.output["load"]["batches"] == 6
    said = f"another execution, {second.arn.rpartition(':')[2]}, is catching up: batch 2 of 6 is loaded"
    assert summary(describe(first.arn)) == said
    assert f"It left the rest to another one: {said}." in describe_end(describe(first.arn))


@fault("F71", "an execution catches up after one that failed", HOLD)
def test_f71_execution_that_leaves_the_rest_is_no_recovery(scenario: Scenario) -> None:
    good = scenario.run()
    amend(scenario)
    with scenario.instead("transform", broken):
        failed = scenario.run()
    fall_behind(scenario, 3)
    with (meeting := Meeting(scenario)) as first:
        assert (first.path[-1], recovery_of(first.arn)) == ("AnotherCatchesUp", None)
        assert fresh_as_of(first.arn) == fresh_as_of(failed.arn) == fresh_as_of(good.arn)

    recovery = recovery_of(meeting.ended.arn)
    # The execution that left the other batches is skipped.
    assert recovery is not None
    assert (recovery.failures, recovery.since) == (1, fresh_as_of(good.arn))


def broken(_name: str, _event: dict[str, Any]) -> InvokeResult:
    error = {"errorType": "LogBroken", "errorMessage": "A batch is missing."}
    return InvokeResult(error, "Unhandled")


@contextlib.contextmanager
def full_disk_at(name: str) -> Iterator[None]:
    """Makes every write to a file fail, because the kernel reports a full disk."""
    make = tempfile.mkdtemp

    def mkdtemp(prefix: str) -> str:
        folder = make(prefix=prefix)
        (Path(folder) / name).symlink_to(FULL)
        return folder

    with mock.patch("totes.runtime.scratch.tempfile.mkdtemp", mkdtemp):
        yield


@needs_full_device
@fault("F72", "the disk of a function is full", HOLD, nearest="/dev/full replaces one of the function's files")
@pytest.mark.parametrize(
    ("stage", "file"),
    [("Ingest", "sales_order.data"), ("Transform", "fact_sales_order.data.2"), ("Load", "2.fact_sales_order.data")],
    ids=["Ingest", "Transform", "Load"],
)
def test_f72_full_disk_says_how_to_get_a_larger_one(scenario: Scenario, stage: str, file: str) -> None:
    amend(scenario)
    with full_disk_at(file):
        failed = scenario.run()

    assert (failed.error, failed.retried) == ("DiskFull", [])
    assert f": {stage} failed with DiskFull, " in failed.mails[0].subject
    assert "ephemeralStorageSize in serverless.yml" in failed.mail
    assert scenario.run().output["load"]["batches"] == 1
