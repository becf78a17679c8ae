"""Runs the shipped handlers in this process, so that a test can reach into them at any line."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local.lambda_runtime.runtime import Function, Invoker, InvokeResult
from local.lambda_runtime.worker import LambdaContext, error_payload, load_handler
from tests.support.processes import process


class InProcess:
    """Answers as Lambda does, on the interpreter's threads and in this process's environment.

    A simulated kill unwinds the handler's stack, so its connection is closed and its temporary files are deleted, as
    the system does for a dead process. Its requests from then on are refused. `Scenario.worker_processes` is for
    effects that only a real death shows.

    Attributes:
        raised: the last error that each execution's functions raised, by the execution's ARN.
    """

    def __init__(self, functions: list[Function]) -> None:
        self._functions = {function.name: function for function in functions}
        self.raised: dict[str, BaseException] = {}

    def __call__(self, name: str, event: dict[str, Any]) -> InvokeResult:
        context = _context(self._functions[name])
        try:
            with process():
                result = load_handler(self._functions[name].handler)(event, context)
            return InvokeResult(json.loads(json.dumps(result)))
        except Exception as error:  # noqa: BLE001  Lambda turns any exception into an answer
            self.raised[event.get("execution", "")] = error
            return InvokeResult(error_payload(error, context.aws_request_id), "Unhandled")
        except BaseException:  # noqa: BLE001  the process is gone and gives no answer
            message = f"RequestId: {context.aws_request_id} Error: Runtime exited with error: signal: killed"
            return InvokeResult({"errorType": "Runtime.ExitError", "errorMessage": message}, "Unhandled")


class Switchboard:
    """The invoker that the stack calls: for each function the one that a test has set, or the usual one."""

    def __init__(self, usual: Invoker) -> None:
        self.usual = usual
        self._instead: dict[str, Invoker] = {}

    def __call__(self, name: str, event: dict[str, Any]) -> InvokeResult:
        return self.answering(name)(name, event)

    def answering(self, name: str) -> Invoker:
        """Returns the present invoker of a function."""
        return self._instead.get(name, self.usual)

    @contextmanager
    def instead(self, name: str, invoker: Invoker) -> Iterator[None]:
        """Sets another invoker for a function, for instance worker processes, or one that throttles."""
        before = dict(self._instead)
        self._instead[name] = invoker
        try:
            yield
        finally:
            self._instead = before


def _context(function: Function) -> LambdaContext:
    return LambdaContext(
        function_name=function.name,
        memory_limit_in_mb=function.memory,
        invoked_function_arn=function.arn,
        aws_request_id=str(uuid.uuid4()),
        deadline=time.time() + function.timeout,
    )
