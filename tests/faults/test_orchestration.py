"""F34 to F39: Lambda gives up, refuses or loses an answer, and executions come twice or at the same time."""

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.lambda_runtime.runtime import Invoker, InvokeResult, ServiceError
from tests.faults.outcome import Effect, Execution
from tests.faults.scenario import HEAL, HOLD, NOOP, Scenario, fault, on
from tests.faults.workers import kill_worker, load_hangs, waiting
from tests.support.injection import at_key, at_statement
from tests.unit.local.processes import eventually
from totes.lake.batch_log import entry
from totes.runtime.names import STAGES

AMENDMENT = "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 7"
TIMED_OUT = "RequestId: 1 Error: Task timed out after 300.00 seconds"


@pytest.fixture
def hang(scenario: Scenario) -> Iterator[Callable[[], None]]:
    """Makes the next load hang at its payments, after the designs. Yields a function that lets it continue."""
    scenario.totesys("UPDATE design SET file_name = 'new.json' WHERE design_id < 5")
    scenario.totesys("UPDATE payment SET paid = NOT paid WHERE payment_id < 20")
    with load_hangs(scenario) as end:
        yield end


# Seconds for a load to hang: a busy machine needs a few before it does.
TIMEOUT = 8


@fault("F34", "Lambda times out in the middle of a load", HEAL)
def test_f34_load_that_times_out_is_made_good_by_its_retry(
    scenario: Scenario, hang: Callable[[], None], tmp_path: Path
) -> None:
    with scenario.worker_processes("load", tmp_path, timeout=TIMEOUT):
        execution = scenario.start()
        assert eventually(lambda: waiting(scenario) == ["fact_payment", "the warehouse"], 30)
        hang()
        healed = scenario.wait(execution)

    assert healed.retried == ["Sandbox.Timedout"]
    assert healed.output["load"]["inserted"] == {"fact_payment": 19}


@fault(
    "F34",
    "a load times out, and so does its retry",
    HOLD,
    because="a killed function reports nothing: the e-mail names it and its time-out, but not the number of rows",
)
def test_f34_load_that_times_out_twice_holds(scenario: Scenario, hang: Callable[[], None], tmp_path: Path) -> None:
    with scenario.worker_processes("load", tmp_path, timeout=TIMEOUT):
        failed = scenario.run()

    assert (failed.error, failed.retried) == ("Sandbox.Timedout", ["Sandbox.Timedout"])
    assert f"Task timed out after {TIMEOUT:.2f} seconds" in failed.mail
    # PostgreSQL still waits for sessions whose clients are gone.
    assert waiting(scenario) == ["fact_payment", "the warehouse"]
    hang()
    assert scenario.run().output["load"]["batches"] == 1


@fault("F35", "Lambda kills a load that is out of memory", HEAL, nearest="kill -9 ends the worker's process")
def test_f35_load_that_is_killed_is_made_good_by_its_retry(
    scenario: Scenario, hang: Callable[[], None], tmp_path: Path
) -> None:
    with scenario.worker_processes("load", tmp_path):
        execution = scenario.start()
        assert eventually(lambda: waiting(scenario) == ["fact_payment"], 30)
        kill_worker("load")
        hang()
        healed = scenario.wait(execution)

    assert healed.retried == ["Runtime.ExitError"]
    assert healed.output["load"]["inserted"] == {"fact_payment": 19}


@fault("F35", "Lambda kills a load that is out of memory, and then its retry", HOLD)
def test_f35_load_that_is_killed_twice_holds(scenario: Scenario, hang: Callable[[], None], tmp_path: Path) -> None:
    with scenario.worker_processes("load", tmp_path):
        execution = scenario.start()
        for stuck in (["fact_payment"], ["fact_payment", "the warehouse"]):
            assert eventually(lambda stuck=stuck: waiting(scenario) == stuck, 30)
            kill_worker("load")
        failed = scenario.wait(execution)

    assert (failed.error, failed.retried) == ("Runtime.ExitError", ["Runtime.ExitError"])
    assert "signal: killed" in failed.mail
    hang()
    assert scenario.run().output["load"]["batches"] == 1


REFUSALS = [("TooManyRequestsException", 429), ("ServiceException", 500), ("AWSLambdaException", 500)]


@on("small_totesys")
@fault("F36", "Lambda throttles or fails, six times for each function", HEAL)
@pytest.mark.parametrize(("code", "status"), REFUSALS)
def test_f36_refusals_are_waited_out_with_jitter(scenario: Scenario, code: str, status: int) -> None:
    with contextlib.ExitStack() as functions:
        for function in map(str.lower, STAGES):
            functions.enter_context(scenario.instead(function, refusing(scenario, code, status, times=6)))
        healed = scenario.run()

    assert healed.retried == [f"Lambda.{code}"] * 18
    longest = [2, 4, 8, 16, 30, 30] * 3
    assert all(0 <= wait <= most for wait, most in zip(scenario.waits, longest, strict=True))
    assert sum(scenario.waits) < sum(longest)


@on("small_totesys")
@fault("F36", "Lambda throttles or fails more than six times", HOLD)
def test_f36_refusals_that_last_hold(scenario: Scenario) -> None:
    with scenario.instead("transform", refusing(scenario, "TooManyRequestsException", 429, times=7)):
        failed = scenario.run()

    # Six times before the error is caught, twice when the state raises it again.
    assert (failed.error, len(failed.retried)) == ("Lambda.TooManyRequestsException", 6 + 2)
    assert scenario.run().output["load"]["batches"] == 1


@on("small_totesys")
@fault("F37", "a start is delivered twice under one name", HEAL)
def test_f37_starts_of_one_name_are_one_execution(scenario: Scenario) -> None:
    name = f"once-{scenario.pipeline.name}"
    again: list[str] = []
    with at_statement("COPY (SELECT", lambda: again.append(scenario.start(name=name))):
        execution = scenario.start(name=name)
        scenario.wait(execution)

    assert again == [execution]
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        scenario.start(name=name)


@on("small_totesys")
@fault("F37", "a start is delivered twice under two names, as EventBridge may do", NOOP)
def test_f37_second_start_finds_nothing_left(scenario: Scenario) -> None:
    first, second = scenario.run(), scenario.run()

    assert first.output["load"]["batches"] == 1
    assert second.path[-1] == "NothingNew"


# Places where two executions meet: reading totesys, committing a batch, shaping it, and opening the warehouse.
Meeting = Callable[[Callable[[], object], int], Any]
MEETINGS: dict[str, Meeting] = {
    "reading": lambda action, times: at_statement('COPY (SELECT "sales_order"', action, times),
    "committing": lambda action, times: at_key(entry(2), action, times),
    "shaping": lambda action, times: at_key("data/fact_sales_order/", action, times),
    "loading": lambda action, times: at_statement("pg_advisory_xact_lock", action, times),
}


@fault("F38", "an execution is overtaken by one that was started later", HEAL)
@pytest.mark.parametrize("meeting", MEETINGS.values(), ids=MEETINGS)
def test_f38_execution_that_is_overtaken_does_nothing_twice(scenario: Scenario, meeting: Meeting) -> None:
    scenario.totesys(AMENDMENT)

    overtaking: list[Execution] = []
    with meeting(lambda: overtaking.append(scenario.run()), 1):
        overtaken = scenario.run()

    assert [overtaking[0].output["load"]["batches"], overtaken.output["load"]["batches"]] == [1, 0]


@fault("F38", "an execution ends while a later one is under way", HEAL)
@pytest.mark.parametrize("meeting", MEETINGS.values(), ids=MEETINGS)
def test_f38_execution_that_is_late_does_nothing_twice(scenario: Scenario, meeting: Meeting) -> None:
    scenario.totesys(AMENDMENT)
    first, second = queue.Queue[str](), queue.Queue[str]()
    both_are_here = threading.Event()
    arrivals = itertools.count()

    def meet() -> None:
        if next(arrivals) == 0:
            second.put(scenario.start())
            assert both_are_here.wait(30)
        else:
            both_are_here.set()
            scenario.stack.wait(first.get(timeout=30), 30)

    with meeting(meet, 2):
        execution = scenario.start()
        first.put(execution)
        early = scenario.wait(execution)
        late = scenario.wait(second.get(timeout=30))

    assert [early.output["load"]["batches"], late.output["load"]["batches"]] == [1, 0]


@fault("F38", "an execution reaches Load while another one loads", HEAL)
def test_f38_second_load_waits_for_the_first(scenario: Scenario) -> None:
    scenario.totesys(AMENDMENT)
    started = queue.Queue[str]()

    def start_another() -> None:
        started.put(scenario.start())
        assert eventually(lambda: waiting(scenario) == ["the warehouse"], 30)

    with at_statement("batch_table (", start_another):
        first = scenario.run()
    second = scenario.wait(started.get(timeout=30))

    assert [first.output["load"]["batches"], second.output["load"]["batches"]] == [1, 0]


LOSSES: dict[str, Callable[[], InvokeResult]] = {
    "Lambda.SdkClientException": lambda: refuse("SdkClientException", 500),
    "Lambda.Unknown": lambda: refuse("Unknown", 500),
    "Sandbox.Timedout": lambda: InvokeResult({"errorType": "Sandbox.Timedout", "errorMessage": TIMED_OUT}, "Unhandled"),
}


@fault("F39", "each function does its work, loses its answer and runs again", HEAL)
@pytest.mark.parametrize("loss", LOSSES)
def test_f39_work_that_is_done_is_not_done_again(scenario: Scenario, loss: str) -> None:
    scenario.totesys(AMENDMENT)
    traces: list[Any] = []

    with contextlib.ExitStack() as functions:
        for function in map(str.lower, STAGES):
            functions.enter_context(scenario.instead(function, losing(scenario, LOSSES[loss], traces)))
        healed = scenario.run()

    assert healed.retried == [loss] * 3
    _, transformed, loaded = traces
    assert transformed.objects == healed.after.objects
    assert transformed.rows != loaded.rows == healed.after.rows
    assert healed.output["load"]["batches"] == 0  # the answer of the retry, which found the batch loaded


def refuse(code: str, status: int) -> InvokeResult:
    raise ServiceError(code, "As the test says.", status)


def refusing(scenario: Scenario, code: str, status: int, times: int) -> Invoker:
    """Makes Lambda itself answer the first invocations."""
    numbers = itertools.count(1)
    return lambda name, event: (
        refuse(code, status) if next(numbers) <= times else scenario.switchboard.usual(name, event)
    )


def losing(scenario: Scenario, loss: Callable[[], InvokeResult], traces: list[Effect]) -> Invoker:
    """Loses the first answer of a function that has worked; adds the state at that moment to the traces."""
    numbers = itertools.count(1)

    def invoke(name: str, event: dict[str, Any]) -> InvokeResult:
        answer = scenario.switchboard.usual(name, event)
        if next(numbers) > 1:
            return answer
        traces.append(scenario.effect())
        return loss()

    return invoke
