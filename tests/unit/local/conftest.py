import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.lambda_runtime.runtime import InvokeResult, ServiceError
from local.stack import Stack

# One state and its failure: enough to see the messages between the interpreter, the functions and SNS.
SMALL_MACHINE = {
    "StartAt": "Ingest",
    "States": {
        "Ingest": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "#{IngestLambdaFunction.Arn}", "Payload.$": "$"},
            "OutputPath": "$.Payload",
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "NotifyFailure"}],
            "End": True,
        },
        "NotifyFailure": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sns:publish",
            "Parameters": {"TopicArn": "#{AlertsTopic}", "Subject.$": "$.Error", "Message.$": "$.Cause"},
            "Next": "Failed",
        },
        "Failed": {"Type": "Fail", "Error": "Failed"},
    },
}


def obey(function_name: str, event: dict[str, Any]) -> InvokeResult:
    """Yields a function that does what its input says."""
    if "refuse" in event:
        raise ServiceError(event["refuse"], "Rate exceeded", 429)
    if "raise" in event:
        return InvokeResult({"errorType": event["raise"], "errorMessage": "as told"}, "Unhandled")
    time.sleep(event.get("take", 0))
    return InvokeResult({"function": function_name, "event": event})


@pytest.fixture(scope="session")
def small_machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("machine") / "small.asl.json"
    file.write_text(json.dumps(SMALL_MACHINE))
    return file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOTES_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def stack(small_machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOTES_HOME", str(tmp_path_factory.mktemp("home")))
        with Stack(invoker=obey, definition=small_machine) as stack:
            yield stack
