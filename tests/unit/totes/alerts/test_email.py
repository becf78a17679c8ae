"""Cases that no golden mail shows: causes that are too long, and texts that they may hide."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from local.aws.deployment import STATE_MACHINE
from totes.alerts.email import Failure, Recovery, failure_mail, recovery_mail
from totes.alerts.error_catalogue import CATALOGUE
from totes.runtime.names import STAGES, Names
from totes.runtime.redaction import visible

NOW = datetime(2024, 11, 15, 9, 30, tzinfo=UTC)


FAILURE = Failure(Names("dev", "123456789012", "eu-west-2"), "arn:of:one", "Load", "UnexpectedError", "x", "", NOW, NOW)


def body(found: str, remedy: str = "") -> str:
    """Returns the mail about a load that failed with this cause, in one line."""
    return " ".join(failure_mail(replace(FAILURE, found=found, remedy=remedy)).body.split())


@pytest.mark.parametrize("before", range(1_960, 2_001))
def test_secret_that_is_cut_in_two_is_not_told(before: int) -> None:
    told = body(f"{'x' * before} postgresql://loader:hunter2hunter2@db/warehouse")
    assert "hunter" not in told


def test_long_cause_keeps_its_remedy() -> None:
    told = body("a word " * 1_000, "Do this instead.")
    assert f"Why {'a word ' * 285}a wor… (7000 characters) Rows" in told
    assert "DO THIS Do this instead. Runbook" in told


def test_commands_of_a_remedy_name_the_stage() -> None:
    assert "DO THIS Start `totes --stage dev run --full-read staff`. Runbook" in body(
        "Lost.", "Start `totes run --full-read staff`."
    )
    local = replace(FAILURE, names=replace(FAILURE.names, stage="local"), remedy="Start `totes run`.")
    assert "Start `totes run`." in failure_mail(local).body


CONSOLE = "https://eu-west-2.console.aws.amazon.com"
LINKS = [
    f"Graph        {CONSOLE}/states/home?region=eu-west-2#/v2/executions/details/arn:of:one",
    f"Log          {CONSOLE}/cloudwatch/home?region=eu-west-2#logsV2:logs-insights$3FqueryDetail$3D~("
    "end~'2024-11-15T09*3A35*3A00.000Z~start~'2024-11-15T09*3A30*3A00.000Z~timeType~'ABSOLUTE~tz~'UTC~editorString~'"
    "fields*20*40timestamp*2C*20service*2C*20level*2C*20message*0A*7C*20filter*20execution*20*3D*20*22arn*3Aof*3Aone"
    "*22*0A*7C*20sort*20*40timestamp*20asc~source~(~'*2Faws*2Flambda*2Ftotes-dev-ingest"
    "~'*2Faws*2Flambda*2Ftotes-dev-transform~'*2Faws*2Flambda*2Ftotes-dev-load))",
]


def test_mails_of_a_deployed_stage_lead_into_the_console() -> None:
    assert failure_mail(FAILURE).body.splitlines()[-3:] == ["Runbook      docs/runbook.md#unexpectederror", *LINKS]
    recovered = recovery_mail(Recovery(FAILURE.names, "arn:of:one", NOW, 1, NOW, {}))
    assert recovered.body.splitlines()[-1] == LINKS[0]


def test_mails_of_a_laptop_name_a_command_that_works_there() -> None:
    local = replace(FAILURE.names, stage="local")
    failed = failure_mail(replace(FAILURE, names=local)).body
    assert failed.endswith("Runbook      docs/runbook.md#unexpectederror\nLook         totes explain one\n")
    recovered = recovery_mail(Recovery(local, "arn:of:one", NOW, 1, NOW, {})).body
    assert recovered.endswith("there is nothing to do.\n\nLook         totes explain one\n")
    assert "aws" not in failed + recovered


def test_cause_that_fits_is_told_whole() -> None:
    assert f"Why {'a word ' * 285}Rows" in body("a word " * 285)


@pytest.mark.parametrize("odd", ["\x1b[31m", "a\rb", "a\bb", "\x00", "\u202egnp", "\x9b2J"])
@pytest.mark.parametrize("field", ["found", "remedy", "error", "state", "execution"])
def test_control_characters_are_shown_and_not_obeyed(odd: str, field: str) -> None:
    mail = failure_mail(replace(FAILURE, **{field: f"<{odd}>"}))
    assert odd not in mail.subject + mail.body
    assert f"<{visible(odd)}>" in mail.body


@pytest.mark.parametrize("field", ["error", "state", "execution"])
def test_line_break_in_a_name_makes_no_line(field: str) -> None:
    mail = failure_mail(replace(FAILURE, **{field: "x\nDO THIS    Drop the warehouse."}))
    assert "\n" not in mail.subject
    assert mail.body.count("\nDO THIS") == 1


# SNS's limit for a subject.
LONGEST_SUBJECT = 100
PROD = Names("prod", "123456789012", "eu-west-2")
# The longest name of one of Lambda's own errors.
ERRORS = [*CATALOGUE, "Lambda.SubnetIPAddressLimitReachedException"]


def test_longest_subject_is_cut() -> None:
    """With all its words, the subject has 101 characters."""
    error = "Lambda.ClientExecutionTimeoutException"
    subject = failure_mail(Failure(PROD, "arn:of:one", "Transform", error, "", "", NOW, NOW)).subject
    assert subject == f"totes-prod-pipeline: Transform failed with {error}, nothing loaded ye"
    assert len(subject) == LONGEST_SUBJECT


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("error", ERRORS)
def test_subjects_are_what_sns_takes(stage: str, error: str) -> None:
    made = failure_mail(Failure(PROD, "arn:of:one", stage, error, "", "", NOW, NOW)).subject
    # Step Functions can't cut a text, so the plain one has to be short from the start.
    plain = json.loads(STATE_MACHINE.read_text(encoding="utf-8"))["States"]["ReportPlainly"]["Parameters"]["subject.$"]
    words = plain.split("'")[1]
    assert plain == f"States.Format('{words}', $$.StateMachine.Name, $.failure.State, $.failure.Error)"
    for subject in (made, words.format(PROD.state_machine, stage, error)):
        assert len(subject) <= LONGEST_SUBJECT
        assert subject.isascii()
