"""One warm execution environment of one function: `python -m local.lambda_runtime.worker functions.ingest.handler`.

Exchanges JSON lines with its owner over standard input and output. The handler's output goes to standard error, which
is the function's log. Errors have the format of AWS's Python runtime client (awslambdaric, bootstrap.py).
"""

import importlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Handler = Callable[[Any, Any], Any]
OWNER_GONE = 70


@dataclass
class LambdaContext:
    """The second argument of a handler, with the attributes that AWS documents for Python."""

    function_name: str
    memory_limit_in_mb: int
    invoked_function_arn: str
    aws_request_id: str
    deadline: float
    function_version: str = "$LATEST"
    log_group_name: str = ""
    log_stream_name: str = ""
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Returns the milliseconds until the function is killed, never less than 0."""
        return max(0, int((self.deadline - time.time()) * 1000))


def error_payload(error: BaseException, request_id: str) -> dict[str, Any]:
    """Returns Lambda's answer to a handler's exception, without the stack frames above the handler."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) != Path(__file__)]
    return _error(str(error), type(error).__name__, request_id, traceback.format_list(own))


def load_handler(name: str) -> Handler:
    """Imports a handler.

    Raises:
        InitFailed: with the error that Lambda reports.
    """
    module, _, function = name.rpartition(".")
    try:
        handler: Handler = getattr(importlib.import_module(module), function)
    except ImportError as error:
        raise InitFailed("Runtime.ImportModuleError", f"Unable to import module '{module}': {error}") from error
    except SyntaxError as error:
        raise InitFailed("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {error}") from error
    except AttributeError as error:
        if isinstance(error.obj, type(sys)) and error.name == function:
            message = f"Handler '{function}' missing on module '{module}'"
            raise InitFailed("Runtime.HandlerNotFound", message) from error
        raise
    return handler


class InitFailed(Exception):
    """The handler could not be loaded.

    Args:
        error_type: Lambda's name for the error.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def main(handler_name: str) -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    incoming = _requests()
    try:
        handler = load_handler(handler_name)
    except InitFailed as error:
        _answer(answers, {"error": _error(str(error), error.error_type, "", [])})
        return
    except Exception as error:  # noqa: BLE001 - every error of the module is reported to the owner
        _answer(answers, {"error": error_payload(error, "")})
        return
    _answer(answers, {"ready": True})
    while (request := incoming.get()) is not None:
        answer = _run(handler, request)
        incoming.task_done()
        sys.stdout.flush()
        _answer(answers, answer)


def _requests() -> "queue.Queue[dict[str, Any] | None]":
    """Returns a queue of the requests, which ends with None.

    The reader is also the watchdog: the owner never closes the pipe while a handler runs. If the pipe ends then, the
    owner was killed.
    """
    incoming: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            incoming.put(json.loads(line))
        if incoming.unfinished_tasks:
            os._exit(OWNER_GONE)
        incoming.put(None)

    threading.Thread(target=read, daemon=True).start()
    return incoming


def _run(handler: Handler, request: dict[str, Any]) -> dict[str, Any]:
    context = LambdaContext(**request["context"])
    try:
        result = handler(request["event"], context)
    except Exception as error:  # noqa: BLE001 - every error becomes an answer, as in the runtime of Lambda
        payload = error_payload(error, context.aws_request_id)
        _log(payload)
        return {"error": payload}
    try:
        return {"result": json.loads(json.dumps(result))}
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        return {"error": _error(message, "Runtime.MarshalError", context.aws_request_id, [])}


def _error(message: str, error_type: str, request_id: str, trace: list[str]) -> dict[str, Any]:
    return {"errorMessage": message, "errorType": error_type, "requestId": request_id, "stackTrace": trace}


def _log(error: dict[str, Any]) -> None:
    sys.stdout.write(
        f"[ERROR] {error['errorType']}: {error['errorMessage']}\r"
        + "\r".join(["Traceback (most recent call last):", *"".join(error["stackTrace"]).splitlines()])
        + "\n"
    )


def _answer(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
