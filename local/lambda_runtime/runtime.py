"""Runs the shipped handlers as Lambda does: in their own warm processes, with their own environment and time limit."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.lambda_runtime.worker_process import WorkerProcess


@dataclass(frozen=True)
class InvokeResult:
    """The answer to one invocation.

    Attributes:
        payload: the handler's result, or Lambda's description of the error.
        function_error: `Unhandled` after an error, or None.
    """

    payload: Any
    function_error: str | None = None


Invoker = Callable[[str, dict[str, Any]], InvokeResult]


class ServiceError(Exception):
    """Lambda itself rejects an invocation. Step Functions reports it as `Lambda.<code>`.

    Args:
        code: for instance `TooManyRequestsException`.
        message: Lambda's message.
        status: the HTTP status, for instance 429.
    """

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Function:
    """A deployed function.

    Attributes:
        name: for instance `totes-local-ingest`.
        handler: for instance `functions.ingest.handler`.
        environment: its variables, added to those of the stack's process.
        timeout: in seconds; after that it is killed.
        memory: in MB; passed to the handler, but not enforced.
    """

    name: str
    arn: str
    handler: str
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 900
    memory: int = 1024

    @property
    def log_group(self) -> str:
        return f"/aws/lambda/{self.name}"


class LambdaRuntime:
    """Calls functions by name. Overlapping calls of one function get a process each, as in Lambda.

    Args:
        functions: the deployed functions.
        logs: the folder for one log file per function.
        ship: called with an invocation's output: the function, its log stream and the lines.
        code: returns the deployed files' version. A process that started with another version is not reused.
    """

    def __init__(
        self,
        functions: list[Function],
        logs: Path,
        ship: Callable[[Function, str, list[str]], None] = lambda _function, _stream, _lines: None,
        code: Callable[[], int] = lambda: 0,
    ) -> None:
        self._functions = {function.name: function for function in functions}
        self._logs = {function.name: logs / f"{function.name}.log" for function in functions}
        self._ship = ship
        self._code = code
        self._version = code()
        self._lock = threading.Lock()
        self._idle: dict[str, list[WorkerProcess]] = {function.name: [] for function in functions}
        self._busy: set[WorkerProcess] = set()
        self._outdated: set[WorkerProcess] = set()
        self._shipped: dict[str, int] = {name: _size(log) for name, log in self._logs.items()}
        self._closed = False

    def __call__(self, function_name: str, event: dict[str, Any]) -> InvokeResult:
        """Invokes a function and waits for its answer.

        Raises:
            ServiceError: there is no such function, or the stack is stopping.
        """
        if function_name not in self._functions:
            raise ServiceError("ResourceNotFoundException", f"Function not found: {function_name}", 404)
        worker = self._take(function_name)
        try:
            answer = worker.invoke(event)
        finally:
            self._give_back(function_name, worker)
        if "error" in answer:
            return InvokeResult(answer["error"], "Unhandled")
        return InvokeResult(answer["result"])

    def close(self) -> None:
        """Ends all processes; kills the busy ones."""
        with self._lock:
            self._closed = True
            for worker in self._busy:
                worker.interrupt()
            idle = [worker for workers in self._idle.values() for worker in workers]
            self._idle = {name: [] for name in self._idle}
        for worker in idle:
            worker.close()

    def _take(self, name: str) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise ServiceError("ServiceException", "The stack is stopping.", 500)
            self._discard_outdated()
            worker = self._idle[name].pop() if self._idle[name] else None
            if worker is None or not worker.alive:
                if worker:
                    worker.close()
                worker = WorkerProcess(self._functions[name], self._logs[name])
            self._busy.add(worker)
            return worker

    def _discard_outdated(self) -> None:
        if (version := self._code()) != self._version:
            self._version = version
            self._outdated |= self._busy
            for worker in (worker for workers in self._idle.values() for worker in workers):
                worker.close()
            self._idle = {name: [] for name in self._idle}

    def _give_back(self, name: str, worker: WorkerProcess) -> None:
        with self._lock:
            self._busy.discard(worker)
            reusable = worker.alive and not self._closed and worker not in self._outdated
            self._outdated.discard(worker)
            if reusable:
                self._idle[name].append(worker)
            lines = self._new_lines(name)
        if not reusable:
            worker.close()
        if lines:
            self._ship(self._functions[name], worker.log_stream, lines)

    def _new_lines(self, name: str) -> list[str]:
        with self._logs[name].open("rb") as log:
            log.seek(self._shipped[name])
            text = log.read()
            self._shipped[name] = log.tell()
        return [line for line in text.decode(errors="replace").split("\n") if line]


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
