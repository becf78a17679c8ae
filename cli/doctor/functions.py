"""Runs the checks inside the functions, with their rights and their network."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from cli.doctor.stage import Stage
from totes.alerts.error_catalogue import meaning
from totes.errors import split_labels
from totes.verify.doctor.code import code_digest
from totes.verify.doctor.findings import Finding, Level, failed, ok, warning
from totes.verify.doctor.inside import EXAMINED

# Longer than the functions' time-out.
_WAIT_SECONDS = 330
# A release without the doctor mistakes the doctor's event for the state machine's and rejects it with this error.
_OLD = ("InputRefused", "names no execution")
_CAN_NOT_START = "Runtime."


class Answers:
    """The functions' answers. Calls all functions at once; reading an answer waits for it."""

    def __init__(self, stage: Stage, pool: ThreadPoolExecutor) -> None:
        session = boto3.DEFAULT_SESSION or boto3.Session()
        config = Config(read_timeout=_WAIT_SECONDS, retries={"total_max_attempts": 1})
        client = session.client("lambda", config=config)
        self._stage = stage
        self._asked = {name: pool.submit(_ask, client, stage.names.function(name)) for name in EXAMINED}

    def of(self, function: str, _stage: Stage) -> Iterator[Finding]:
        """Yields a function's findings, or one finding with its error.

        Raises:
            ClientError: Lambda rejected or could not run the call.
        """
        name, answer = self._stage.names.function(function), self._asked[function].result()
        if "findings" in answer:
            yield from (Finding(**found | {"level": Level(found["level"])}) for found in answer["findings"])
        else:
            yield _of_error(self._stage, name, answer)

    def code(self, _stage: Stage) -> Iterator[Finding]:
        """Checks that the functions run this checkout's code."""
        here = code_digest()
        found = {name: self._asked[name].result().get("code") for name in EXAMINED if not self._asked[name].exception()}
        known = {name: code for name, code in found.items() if code}
        others = [self._stage.names.function(name) for name, code in known.items() if code != here]
        if others:
            yield warning(
                "code-differs",
                f"{', '.join(others)} {'run' if len(others) > 1 else 'runs'} different code from this checkout.",
                "Deploy this checkout, or check out the deployed commit.",
            )
        elif known:
            yield ok("code", f"The functions run this checkout's code ({here}).")


@contextmanager
def asked(stage: Stage) -> Iterator[Answers]:
    """Calls all functions at once."""
    with ThreadPoolExecutor(len(EXAMINED)) as pool:
        yield Answers(stage, pool)


def _ask(client: Any, name: str) -> dict[str, Any]:
    answer = client.invoke(FunctionName=name, Payload=json.dumps({"doctor": True}))
    document: dict[str, Any] = json.loads(answer["Payload"].read())
    return document


def _of_error(stage: Stage, name: str, answer: dict[str, Any]) -> Finding:
    error, message = str(answer.get("errorType", "")), str(answer.get("errorMessage", ""))
    if error == _OLD[0] and _OLD[1] in message:
        return failed("function-old", f"{name} runs a release that `totes doctor` can't check.", stage.deploy)
    if error.startswith(_CAN_NOT_START) and error not in ("Runtime.ExitError", "Runtime.OutOfMemory"):
        said = f"{name} can't start, {error}: {message}."
        return failed("function-does-not-start", said, f"The package or the layer is broken. {stage.deploy}")
    found, remedy, _ = split_labels(message)
    said = f"{name} failed with {error or 'no answer'}: {found}."
    return failed("function-failed", said, remedy or meaning(error)[1])
