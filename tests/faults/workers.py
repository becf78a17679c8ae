"""Loads that hang in the middle of their transaction, and ways to end executions and their processes."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from local.lambda_runtime.runtime import Invoker, InvokeResult
from tests.faults.scenario import Scenario


@contextlib.contextmanager
def load_hangs(scenario: Scenario) -> Iterator[Callable[[], None]]:
    """Makes each load hang at the payments, after it has loaded all dimensions.

    Yields:
        a function that ends this.
    """
    with scenario.pipeline.connection(scenario.pipeline.warehouse) as reader:
        reader.cursor().execute("LOCK TABLE fact_payment IN SHARE MODE")
        yield reader.rollback


def waiting(scenario: Scenario) -> list[str]:
    """Returns what loads wait for: a table that another session has locked, or the warehouse that another load has."""
    rows = scenario.star(
        "SELECT coalesce(CAST(CAST(relation AS regclass) AS text), 'the warehouse') FROM pg_locks "
        "JOIN pg_stat_activity USING (pid) WHERE NOT granted AND application_name = 'totes-load' "
        "AND datname = current_database() ORDER BY 1"
    )
    return [name for (name,) in rows]


def kill_worker(function: str) -> None:
    """Ends the load's processes as Lambda does when a function is out of memory."""
    (worker,) = [child for child in psutil.Process().children() if f"functions.{function}.handler" in child.cmdline()]
    worker.kill()


def aborting(scenario: Scenario) -> Invoker:
    """Aborts the execution while a function is running; the function still comes to its end, as on AWS."""

    def invoke(name: str, event: dict[str, Any]) -> InvokeResult:
        scenario.stack.client("stepfunctions").stop_execution(executionArn=event["execution"])
        return scenario.switchboard.usual(name, event)

    return invoke


@contextlib.contextmanager
def execution_limit(scenario: Scenario, seconds: int) -> Iterator[None]:
    """Yields the shipped workflow with another TimeoutSeconds."""
    client, arn = scenario.stack.client("stepfunctions"), scenario.stack.names.state_machine_arn
    shipped = client.describe_state_machine(stateMachineArn=arn)["definition"]
    client.update_state_machine(
        stateMachineArn=arn, definition=json.dumps(json.loads(shipped) | {"TimeoutSeconds": seconds})
    )
    try:
        yield
    finally:
        client.update_state_machine(stateMachineArn=arn, definition=shipped)
