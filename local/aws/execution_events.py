"""Fires the rule for ended executions on the local stack. moto sends no such events, so this module polls for them."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

    from local.stack import Stack

LOOK_SECONDS = 0.2


class ExecutionEvents:
    """Calls the function `watch` for each execution that ends, as the deployed rule does.

    Args:
        stack: the stack with the rule, the executions and the function.
    """

    def __init__(self, stack: "Stack") -> None:
        self._stack = stack
        self._reported: set[str] = set()

    def run(self, stop: "threading.Event") -> None:
        """Polls until `stop` is set."""
        while not stop.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Calls `watch` for each execution that ended since the last call, oldest first."""
        rule = self._stack.client("events").describe_rule(Name=self._stack.names.ended_rule)
        statuses = json.loads(rule["EventPattern"])["detail"]["status"]
        found = self._stack.client("stepfunctions").list_executions(
            stateMachineArn=self._stack.names.state_machine_arn, maxResults=1000
        )["executions"]
        ended = [execution for execution in found if execution.get("stopDate") and execution["status"] in statuses]
        for execution in sorted(ended, key=lambda execution: execution["stopDate"]):
            if execution["executionArn"] not in self._reported:
                self._reported.add(execution["executionArn"])
                self._call(execution["executionArn"], execution["status"])

    def _call(self, execution: str, status: str) -> None:
        event = {
            "source": "aws.states",
            "detail-type": "Step Functions Execution Status Change",
            "detail": {
                "executionArn": execution,
                "stateMachineArn": self._stack.names.state_machine_arn,
                "status": status,
            },
        }
        self._stack.client("lambda").invoke(
            FunctionName=self._stack.names.function("watch"), Payload=json.dumps(event).encode()
        )
