import io
import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

import pyarrow as pa
import pytest

from local.lambda_runtime.worker import LambdaContext
from totes.errors import SourceBusy, UnexpectedError
from totes.runtime.log import Handler, about, logger, metrics, observed

CONTEXT = LambdaContext("totes-test-ingest", 512, "arn:aws:lambda:eu-west-2:123456789012:function:f", "req-1", 0.0)
EXECUTION = "arn:aws:states:eu-west-2:123456789012:execution:totes-test-pipeline:a"
DSN = "postgresql://reader:hunter2@db/totesys"


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def invoke(handler: Handler) -> Any:
    return observed(handler)({"execution": EXECUTION}, CONTEXT)


def failing(error: Exception) -> Handler:
    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        raise error

    return handler


def test_every_line_bears_execution_and_invocation(log: io.StringIO) -> None:
    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        logger.info("one")
        logger.append_keys(batch=7)
        logger.info("two")
        metrics.add_metric("Rows", "Count", 1)
        return {"event": event}

    assert invoke(handler) == {"event": {"execution": EXECUTION}}
    found = [(line["execution"], line["function_request_id"], line.get("batch")) for line in lines(log)]
    assert found == [(EXECUTION, "req-1", None), (EXECUTION, "req-1", 7)]


def test_keys_of_one_invocation_do_not_reach_the_next(log: io.StringIO) -> None:
    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        logger.info("now")
        logger.append_keys(batch=7)
        metrics.add_metric("Rows", "Count", 1)
        return {}

    invoke(handler)
    invoke(handler)
    assert ["batch" in line for line in lines(log)] == [False, False]


def test_failure_bears_what_it_was_about_and_what_follows_does_not(log: io.StringIO) -> None:
    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        with about(table="staff"):
            logger.info("read")
        logger.info("between")
        with about(table="design"):
            raise SourceBusy("totesys is busy.", "Nothing to do.")

    with pytest.raises(SourceBusy):
        invoke(handler)
    assert [(line["message"], line.get("table")) for line in lines(log)] == [
        ("read", "staff"),
        ("between", None),
        ("failed", "design"),
    ]


def test_line_of_metrics_bears_the_execution_and_the_duration(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke(lambda _event, _context: time.sleep(0.02) or {})
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert line["execution"] == EXECUTION
    assert 20 <= line["Duration"][0] < 10_000


def test_error_of_ours_is_logged_counted_and_left_as_it_is(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    error = SourceBusy("totesys is busy.", "Nothing to do.")
    with pytest.raises(SourceBusy) as caught:
        invoke(failing(error))
    assert caught.value is error
    (line,) = lines(log)
    assert (line["message"], line["error"], line["level"]) == ("failed", "SourceBusy", "ERROR")
    assert "totesys is busy. Nothing to do." in line["exception"]
    (metric,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert metric["Failures"] == [1.0]


def test_foreign_error_becomes_unforeseen_and_says_so(log: io.StringIO) -> None:
    with pytest.raises(
        UnexpectedError, match=r"ZeroDivisionError: division by zero.\nRemedy: Read the stack trace in the"
    ):
        invoke(failing(ZeroDivisionError("division by zero")))
    assert lines(log)[0]["error"] == "ZeroDivisionError"


@pytest.mark.parametrize("error", [MemoryError(), pa.ArrowMemoryError("malloc of size 9223372036854775807 failed")])
def test_lack_of_memory_keeps_its_name(log: io.StringIO, error: MemoryError) -> None:
    with pytest.raises(MemoryError) as caught:
        invoke(failing(error))
    # The state machine retries it by this name.
    assert type(caught.value) is MemoryError
    assert str(caught.value) == (str(error) or "Python could not allocate memory.")
    assert lines(log)[0]["error"] == type(error).__name__


def test_secret_in_a_foreign_error_leaves_by_no_way(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnexpectedError) as caught:
        invoke(failing(RuntimeError(f"cannot connect to {DSN} with password='hunter2'")))
    assert "postgresql://reader:***@db/totesys" in str(caught.value)
    assert "postgresql://reader:***@db/totesys" in lines(log)[0]["exception"]
    assert "hunter2" not in str(caught.value) + log.getvalue() + capsys.readouterr().out


TRACED = """
import sys
from local.lambda_runtime.worker import LambdaContext
from totes.runtime.log import observed
observed(lambda _event, _context: {"answer": 1})({}, LambdaContext("f", 512, "arn", "req-1", 0.0))
print("aws_xray_sdk.core" in sys.modules)
"""


@pytest.mark.parametrize(("disabled", "traced"), [("false", True), ("true", False)])
def test_only_a_traced_stage_sends_segments_and_imports_what_it_takes(disabled: str, traced: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10 if traced else 0.1)
        environment = {
            "POWERTOOLS_TRACE_DISABLED": disabled,
            "POWERTOOLS_METRICS_NAMESPACE": "Totes",
            "POWERTOOLS_SERVICE_NAME": "ingest",
            # As it is in Lambda.
            "LAMBDA_TASK_ROOT": "/var/task",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
            "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        }
        run = subprocess.run(
            [sys.executable, "-c", TRACED], env=os.environ | environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.splitlines()[-1] == str(traced)
        if traced:
            _header, segment = daemon.recv(65536).decode().split("\n")
            assert json.loads(segment)["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
        else:
            with pytest.raises(TimeoutError):
                daemon.recv(65536)
