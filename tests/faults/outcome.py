"""The result of an execution, and which of the four outcomes a test has seen."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from local.stack import Mail
from tests.faults.alarms import telling
from totes.errors import split_labels
from totes.runtime.names import STAGES

# An execution that can't send its mail shows only that it has not succeeded; an alarm on the metric reports that.
_LAST_RESORT = "ExecutionsSucceeded"
# Ends that no Catch sees, so the rule sends the mail.
_ENDS = {"TIMED_OUT": "timed out", "ABORTED": "was aborted"}


class Outcome(StrEnum):
    """The four outcomes.

    HEAL: the run or its retry succeeds, and nobody gets a mail. HOLD: the run fails with a mail if one is due and
    leaves the warehouse alone, and the next successful run catches up. WARN: it succeeds and reports what is unusual.
    NOOP: nothing is done.
    """

    HEAL = "HEAL"
    HOLD = "HOLD"
    WARN = "WARN"
    NOOP = "NOOP"


@dataclass(frozen=True)
class Effect:
    """Everything that an execution can change: the lake's objects, and the places of the warehouse's rows."""

    objects: frozenset[str]
    rows: Mapping[str, str]


@dataclass(frozen=True)
class Execution:
    """An execution that has ended.

    Attributes:
        error, cause: those of an execution that did not succeed; empty otherwise.
        path: the states that it went through.
        retried: the errors that were answered by another attempt, in order.
        output: the results of the states, by their names in lower case.
        remedy: the remedy in the error that failed it; empty if no function raised that error.
        unsent: whether a mail about it could not be sent at the time.
        ended: when it ended, by the clock of Step Functions.
    """

    arn: str
    status: str
    error: str
    cause: str
    path: list[str]
    retried: list[str]
    output: Mapping[str, Any]
    mails: list[Mail]
    remedy: str
    unsent: bool
    ended: datetime
    before: Effect = field(repr=False)
    after: Effect = field(repr=False)

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCEEDED"

    @property
    def name(self) -> str:
        """Returns the name of the execution: a mail of the local stack has no link to AWS's console, so it holds no
        ARN.
        """
        return self.arn.rpartition(":")[2]

    @property
    def warnings(self) -> list[str]:
        """Returns the functions' warnings."""
        # The output also contains the input.
        results = [self.output.get(stage.lower(), {}) for stage in STAGES]
        return [text for result in results for text in result.get("warnings", [])]

    @property
    def mail(self) -> str:
        """Returns the message of its one mail without line breaks, and then its reason and its remedy again, in one
        line.
        """
        (mail,) = self.mails
        text = one_line(mail.message)
        why, remedy = text.partition(" Why ")[2], text.partition(" DO THIS ")[2]
        return f"{text} {why.partition(' Rows ')[0]} {remedy.partition(' Runbook ')[0]}"

    @property
    def changed_nothing(self) -> bool:
        return self.before == self.after

    @property
    def step(self) -> str:
        """Returns the stage in which it ended."""
        return next((state for state in reversed(self.path) if state in STAGES), "")

    @property
    def kind(self) -> tuple[str, str, str]:
        """Returns the properties that a repeated failure shares with the one before."""
        return self.step, self.error or self.status, split_labels(self.cause).tables

    def mail_violations(self, due: bool) -> list[str]:
        """Returns the violations of I5: a mail if one is due, none for another execution, and the mail says what is
        needed.
        """
        mails = int(due and not self.unsent)
        if len(self.mails) != mails:
            return [f"I5 {len(self.mails)} mails, not {mails}, of an execution that ended {self.status}: {self.cause}"]
        if self.unsent and len(alarms := telling(_LAST_RESORT)) != 1:
            return [f"I5 {len(alarms)} alarms tell that no execution has succeeded"]
        if not mails:
            return []
        mail = self.mails[0]
        # The e-mail may shorten a very long cause.
        found = split_labels(self.cause).found[:1_900]
        needed = {"step": self.step, "error": self.error, "cause": found, "remedy": self.remedy, "execution": self.name}
        how = f"failed with {re.escape(self.error)}"
        if self.status in _ENDS:
            needed, how = {"step": self.step, "execution": self.name}, _ENDS[self.status]
        lacking = [what for what, text in needed.items() if one_line(text) not in one_line(mail.message)]
        what = rf"({self.step} {how}, [\w ]+|[\d,]+ failures since [\d-]+ [\d:]+ UTC: {self.step} {how})"
        if not re.fullmatch(rf"[\w-]+: {what}", mail.subject):
            lacking.append(f"the right subject ({mail.subject})")
        return [f"I5 the mail lacks {what}" for what in lacking]


def mails_due(executions: Sequence[Execution]) -> list[bool]:
    """Returns for each execution whether a mail about it is due.

    The first failure of a kind is due, then one after an hour, and then one a day, until an execution succeeds. A mail
    that could not be sent does not count.
    """
    told: dict[tuple[str, str, str], list[datetime]] = {}
    due = []
    for execution in executions:
        mails = told.setdefault(execution.kind, [])
        wait = timedelta(hours=1 if len(mails) == 1 else 24) - timedelta(minutes=1)
        is_due = not execution.succeeded and (not mails or execution.ended - mails[-1] >= wait)
        due.append(is_due)
        if is_due and not execution.unsent:
            mails.append(execution.ended)
        if execution.succeeded and not execution.output.get("load", {}).get("catching_up"):
            told.clear()
    return due


def one_line(text: str) -> str:
    """Returns a text without its line breaks: a mail has them in other places than a message."""
    return " ".join(text.split())


def read_history(events: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Returns the path and the retried errors of an execution."""
    path = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    retried = [
        _error(event)
        for event, following in itertools.pairwise(events)
        if event["type"] in ("TaskFailed", "TaskTimedOut") and following["type"] == "TaskScheduled"
    ]
    return path, retried


def classify(executions: Sequence[Execution]) -> Outcome:
    """Returns the outcome of a test, from all its executions."""
    if any(not execution.succeeded for execution in executions):
        return Outcome.HOLD
    if any(execution.warnings for execution in executions):
        return Outcome.WARN
    last = executions[-1]
    return Outcome.NOOP if last.path[-1] == "NothingNew" and last.changed_nothing else Outcome.HEAL


def contradictions(executions: Sequence[Execution]) -> list[str]:
    """Returns the promises of an outcome, beyond its name, that were not kept."""
    found = [
        f"{execution.error} failed the execution, and the warehouse has changed: {execution.cause}"
        for execution in executions
        if not execution.succeeded and execution.before.rows != execution.after.rows
    ]
    if not executions[-1].succeeded:
        found.append(f"no run has caught up; the last one said: {executions[-1].cause}")
    return found


def output_of(execution: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the output of an execution that succeeded, from the answer of DescribeExecution."""
    output: dict[str, Any] = json.loads(execution.get("output", "{}"))
    return output


def _error(event: Mapping[str, Any]) -> str:
    details = event.get("taskFailedEventDetails") or event.get("taskTimedOutEventDetails") or {}
    return str(details.get("error", ""))
