"""Error classes, their meanings, the runbook's sections and the state machine's retries fit together."""

import json
import re

import botocore.session
import pytest

from local.aws.deployment import STATE_MACHINE
from tools.docs.dictionary import DICTIONARY
from totes.alerts.error_catalogue import CATALOGUE, meaning, section
from totes.contracts import declarations
from totes.errors import TotesError

RUNBOOK = (DICTIONARY.parent / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
RETRIED = {
    error
    for state in json.loads(STATE_MACHINE.read_text(encoding="utf-8"))["States"].values()
    for retrier in state.get("Retry", ())
    for error in retrier["ErrorEquals"]
    if error != "States.ALL"
}


def leaves(kind: type[Exception]) -> set[str]:
    """Returns the names of the classes that are raised."""
    below = kind.__subclasses__()
    return set().union(*map(leaves, below)) if below else {kind.__name__}


RAISED = leaves(TotesError)
# Invoke's errors in the SDK's model; Step Functions call Lambda by the SDK.
INVOKE = {
    f"Lambda.{shape.name}"
    for shape in botocore.session.get_session().get_service_model("lambda").operation_model("Invoke").error_shapes
}
# Step Functions also use these names: errors of the SDK itself, and a function that ended without an answer.
NOT_IN_THE_MODEL = {
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.Unknown",
}


def test_every_error_is_known_here() -> None:
    assert declarations.ContractInvalid.__name__ in RAISED
    assert CATALOGUE.keys() >= RAISED | RETRIED


def test_every_error_of_lambdas_invoke_is_known() -> None:
    assert {error for error in CATALOGUE if error.startswith("Lambda.")} == INVOKE | NOT_IN_THE_MODEL


def test_errors_that_share_a_section_are_retried_alike() -> None:
    sections: dict[str, set[bool]] = {}
    for error in CATALOGUE:
        sections.setdefault(section(error), set()).add(error in RETRIED)
    # Errors of the workflow itself are never retried, although a result may be too large only once.
    assert {name for name, retried in sections.items() if len(retried) > 1} == set()


@pytest.mark.parametrize("error", CATALOGUE)
def test_error_has_a_section_that_says_what_to_do(error: str) -> None:
    text = SECTIONS[section(error)]
    assert section(error) == error or f"`{error}`" in text
    assert "**It means**" in text
    assert "**Do** " in text


def test_every_section_of_an_error_is_of_one_that_exists() -> None:
    # Sections about alarms have a heading of their own: tests/unit/infrastructure/test_alarms.py.
    headings = {name for name, text in SECTIONS.items() if "**It means**" in text.partition("\n### ")[0]}
    assert headings <= CATALOGUE.keys()


@pytest.mark.parametrize(
    ("former", "now"),
    [("ContractBroken", "ContractViolation"), ("AccessRefused", "AccessDenied"), ("Unforeseen", "UnexpectedError")],
)
def test_error_of_an_execution_before_the_upgrade_is_explained(former: str, now: str) -> None:
    assert (meaning(former), section(former)) == (meaning(now), now)
