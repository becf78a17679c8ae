"""The owner's side of one execution environment: starts `local.lambda_runtime.worker`, calls it, and ends it."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.lambda_runtime.runtime import Function

INIT_SECONDS = 60
ROOT = Path(__file__).resolve().parents[2]


class WorkerProcess:
    """A process that runs one handler."""

    def __init__(self, function: "Function", log: Path) -> None:
        self.log_stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{uuid.uuid4().hex}"
        self._function = function
        self._initialised = False
        self._buffer = b""
        # Its temporary files must not outlive it, even if it is killed.
        self._tmp = tempfile.TemporaryDirectory(prefix="tmp-", dir=log.parent, ignore_cleanup_errors=True)
        with log.open("ab") as output:
            # Starts its own session: Ctrl-C in the terminal reaches only the stack, which then ends its workers.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "local.lambda_runtime.worker", function.handler],
                cwd=ROOT,
                env=os.environ | self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def invoke(self, event: Any) -> dict[str, Any]:
        """Runs the handler once.

        Returns:
            `{"result": …}` or `{"error": …}`, with the error in Lambda's format. After an exit or a time-out, the
            process is no longer alive.
        """
        request_id = str(uuid.uuid4())
        if not self._initialised:
            # Lambda does not count the initialisation towards the function's time limit.
            answer = self._answer(INIT_SECONDS, request_id)
            if "error" in answer:
                self._end()
                return answer
            self._initialised = True
        self._send({"event": event, "context": self._context(request_id)})
        return self._answer(self._function.timeout, request_id)

    def interrupt(self) -> None:
        """Kills the process. A caller that waits for its answer gets an error."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process, if it still runs, and deletes its temporary files."""
        self._process.communicate()
        self._tmp.cleanup()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._tmp.cleanup()

    def _environment(self) -> dict[str, str]:
        function = self._function
        return {
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "_HANDLER": function.handler,
            "TZ": "UTC",
            "TMPDIR": self._tmp.name,
            # Without LAMBDA_TASK_ROOT, because it makes the X-Ray SDK look for its daemon.
            **function.environment,
        }

    def _context(self, request_id: str) -> dict[str, Any]:
        return {
            "function_name": self._function.name,
            "memory_limit_in_mb": self._function.memory,
            "invoked_function_arn": self._function.arn,
            "aws_request_id": request_id,
            "deadline": time.time() + self._function.timeout,
            "log_group_name": self._function.log_group,
            "log_stream_name": self.log_stream,
        }

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # It has exited. Reading its answer reports how.

    def _answer(self, seconds: float, request_id: str) -> dict[str, Any]:
        line = self._read_line(seconds)
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        if line is None:
            self._end()
            error_type, what = "Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds"
        else:
            error_type, what = "Runtime.ExitError", f"Runtime exited {_reason(self._process.wait())}"
            self._tmp.cleanup()
        return {"error": {"errorType": error_type, "errorMessage": f"RequestId: {request_id} Error: {what}"}}

    def _read_line(self, seconds: float) -> bytes | None:
        """Reads a line. Returns it empty if the process has ended, and None if the time is up."""
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                return None
            if not (block := os.read(pipe, 1 << 16)):
                return b""
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _reason(status: int) -> str:
    if status < 0:
        return f"with error: signal: {'killed' if status == -9 else -status}"
    return f"with error: exit status {status}" if status else "without providing a reason"
