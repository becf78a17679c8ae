"""Whether an e-mail was sent about an execution, in the words of commands and the page."""

import json
from datetime import UTC, datetime

import pytest

from totes.alerts.executions import Execution, StateRun
from totes.alerts.notice import Notice, notice_of

AT = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
ARN = "arn:aws:states:eu-west-2:123456789012:execution:totes-dev-pipeline:one"
TOLD = {"execution": "first", "at": AT.isoformat(), "mails": 2}


def state(name: str, mail: object = None, error: str | None = None) -> StateRun:
    return StateRun(name, AT, AT, error=error, output=json.dumps({"mail": mail}) if mail else None)


DUE, REPEATS = state("Report", {"due": True, "repeats": None}), state("Report", {"due": False, "repeats": TOLD})
SENT, REFUSED = state("NotifyFailure"), state("NotifyFailure", error="SNS.InternalError")
LOAD, FAILED = state("Load", error="WarehouseBusy"), state("Failed", error="WarehouseBusy")


def notice(*states: StateRun, status: str = "FAILED") -> Notice | None:
    return notice_of(Execution(ARN, "one", status, AT, AT, states=states))


def test_mail_that_was_sent_is_said_to_be() -> None:
    assert notice(LOAD, DUE, SENT, FAILED) == Notice("sent", "An e-mail was sent.")
    assert notice(LOAD, state("ReportPlainly"), SENT, FAILED) == Notice("sent", "An e-mail was sent.")


def test_execution_that_repeats_a_failure_says_which() -> None:
    assert notice(LOAD, REPEATS, state("MailDue?"), FAILED) == Notice(
        "repeats first",
        "No e-mail was sent: it repeats the failure of execution first, e-mailed at 2026-11-28 09:00:00 UTC.",
        "first",
    )


@pytest.mark.parametrize(
    ("states", "status"),
    [((LOAD, DUE, REFUSED, FAILED), "FAILED"), ((LOAD,), "TIMED_OUT"), ((), "ABORTED")],
    ids=["refused", "timed out", "no state"],
)
def test_what_the_rule_does_is_not_claimed_to_be_done(states: tuple[StateRun, ...], status: str) -> None:
    found = notice(*states, status=status)
    assert found is not None
    assert found.short == "by totes-dev-watch"
    assert "totes-dev-watch" in found.long
    assert "was sent" not in found.long


def test_mail_of_an_attempt_before_a_redrive_is_another_one() -> None:
    found = notice(LOAD, DUE, SENT, FAILED, state("Ingest"), status="TIMED_OUT")
    assert found is not None
    assert found.short == "by totes-dev-watch"


@pytest.mark.parametrize("status", ["SUCCEEDED", "RUNNING"])
def test_nothing_is_said_where_nothing_failed(status: str) -> None:
    assert notice(LOAD, status=status) is None
