"""Simulates AWS' Redrive, which moto lacks (tests/machine/test_moto_repairs.py notices when moto has it).

As AWS documents it, a redrive resumes in the state in which the execution ended, with that state's input and the
definition of that time. A Task starts again, and the context object shows the redrive. Here the shipped workflow starts
in that state, so the redriven execution has an ARN and a history of its own.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock

from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

from local.stack import Stack


@contextmanager
def redriving(stack: Stack, arn: str) -> Iterator[str]:
    """Makes executions that start during the block resume where an execution has ended.

    Yields:
        The execution's input, as JSON: start with it.
    """
    client, machine = stack.client("stepfunctions"), stack.names.state_machine_arn
    shipped = client.describe_state_machine(stateMachineArn=machine)["definition"]
    last = _last_entered(client, arn)
    client.update_state_machine(
        stateMachineArn=machine, definition=json.dumps(json.loads(shipped) | {"StartAt": last["name"]})
    )
    usual = ExecutionWorker._get_evaluation_environment

    def redriven(worker: ExecutionWorker) -> Environment:
        environment: Environment = usual(worker)
        environment.states.reset(json.loads(last["input"]))
        context: Any = environment.states.context_object.context_object_data["Execution"]
        context |= {"RedriveCount": 1, "RedriveTime": datetime.now(UTC).isoformat()}
        return environment

    try:
        with mock.patch.object(ExecutionWorker, "_get_evaluation_environment", redriven):
            yield client.describe_execution(executionArn=arn)["input"]
    finally:
        client.update_state_machine(stateMachineArn=machine, definition=shipped)


def _last_entered(client: Any, arn: str) -> dict[str, str]:
    """Returns the name and the input of the state in which an execution has ended."""
    events = client.get_execution_history(executionArn=arn)["events"]
    entered: list[dict[str, str]] = [
        event["stateEnteredEventDetails"] for event in events if "stateEnteredEventDetails" in event
    ]
    return entered[-1]
