"""The function behind Failed: the errors that it raises, and when it returns."""

import io
import json
from typing import Any

import pytest

from functions.fail import LONGEST, handler
from local.lambda_runtime.worker import error_payload

CAUGHT = "2026-11-24T09:00:00.123Z"
EXECUTION = {"Id": "arn:aws:states:eu-west-2:123456789012:execution:totes-test-pipeline:a", "Input": {}}


def event(error: str = "LogBroken", cause: str = "A gap.\nRemedy: Restore it.", **execution: object) -> dict[str, Any]:
    return {
        "failure": {"State": "Load", "Error": error, "Cause": {"errorMessage": cause, "stackTrace": []}},
        "caught": CAUGHT,
        "context": EXECUTION | execution,
    }


def raised(given: dict[str, Any]) -> dict[str, Any]:
    """Returns Lambda's answer."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  the class is made as it is raised
        handler(given, None)
    return error_payload(caught.value, "request")


@pytest.mark.parametrize("error", ["LogBroken", "States.Timeout", "Lambda.TooManyRequestsException", "ошибка 7"])
def test_error_that_was_caught_is_raised_by_its_name(error: str) -> None:
    answer = raised(event(error))
    assert (answer["errorType"], answer["errorMessage"]) == (error, "A gap.\nRemedy: Restore it.")


@pytest.mark.parametrize(
    "execution",
    [
        {},
        {"RedriveCount": 0},
        {"RedriveCount": 1, "RedriveTime": "2026-11-24T09:00:00Z"},
        {"RedriveCount": 1, "RedriveTime": CAUGHT},
    ],
    ids=["never redriven", "never redriven, and counted", "redriven before it failed again", "at the same moment"],
)
def test_error_is_raised_where_nothing_was_redriven_since(execution: dict[str, object]) -> None:
    assert raised(event(**execution))["errorType"] == "LogBroken"


@pytest.mark.parametrize("moment", ["2026-11-24T09:00:00.124Z", "2026-12-08T08:59:59Z", "2026-11-24T09:00:01+00:00"])
def test_redriven_execution_may_begin_anew(moment: str, log: io.StringIO) -> None:
    assert handler(event(RedriveCount=1, RedriveTime=moment), None) == {"redriven": True}
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["level"], line["execution"], line["failed_with"]) == ("INFO", EXECUTION["Id"], "LogBroken")


def test_failure_is_no_failure_of_the_function(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    raised(event())
    assert (log.getvalue(), capsys.readouterr().out) == ("", "")


def test_cause_is_told_without_secrets_and_fits() -> None:
    found = raised(event(cause=f"postgresql://loader:hunter2@db {'ошибка ' * 5_000}"))
    assert found["errorMessage"].startswith("postgresql://loader:***@db ")
    assert len(found["errorMessage"]) < LONGEST + 30
    assert len(json.dumps(found)) < 32_768
