"""Loads that hang in the middle of their transaction, and the end of executions and of the processes that run them."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from local.lambda_runtime.runtime import Invoker, InvokeResult
from tests.faults.scenario import Scenario


@contextlib.contextmanager
def load_hangs(scenario: Scenario) -> Iterator[Callable[[], None]]:
    """Whatever loads payments hangs there, with all dimensions loaded already.

    Yields:
        ends it.
    """
    with scenario.pipeline.connection(scenario.pipeline.warehouse) as reader:
        reader.cursor().execute("LOCK TABLE fact_payment IN SHARE MODE")
        yield reader.rollback


def waiting(scenario: Scenario) -> list[str]:
    """What loads are waiting for: a table that somebody has locked, or the warehouse, which another load has."""
    rows = scenario.star(
        "SELECT coalesce(CAST(CAST(relation AS regclass) AS text), 'the warehouse') FROM pg_locks "
        "JOIN pg_stat_activity USING (pid) WHERE NOT granted AND application_name = 'totes-load' "
        "AND datname = current_database() ORDER BY 1"
    )
    return [name for (name,) in rows]


def kill_worker(function: str) -> None:
    """What Lambda does to a function that is out of memory."""
    (worker,) = [child for child in psutil.Process().children() if f"functions.{function}.handler" in child.cmdline()]
    worker.kill()


def aborting(scenario: Scenario) -> Invoker:
    """The execution is aborted while a function is at work, which comes to its end all the same, as in AWS."""

    def invoke(name: str, event: dict[str, Any]) -> InvokeResult:
        scenario.stack.client("stepfunctions").stop_execution(executionArn=event["execution"])
        return scenario.switchboard.usual(name, event)

    return invoke


@contextlib.contextmanager
def execution_limit(scenario: Scenario, seconds: int) -> Iterator[None]:
    """The shipped workflow with another TimeoutSeconds."""
    client, arn = scenario.stack.client("stepfunctions"), scenario.stack.names.state_machine_arn
    shipped = client.describe_state_machine(stateMachineArn=arn)["definition"]
    client.update_state_machine(
        stateMachineArn=arn, definition=json.dumps(json.loads(shipped) | {"TimeoutSeconds": seconds})
    )
    try:
        yield
    finally:
        client.update_state_machine(stateMachineArn=arn, definition=shipped)
