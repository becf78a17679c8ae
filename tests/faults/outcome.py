"""Describes an execution, and decides which of the four outcomes a test has seen."""

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

# An execution that can't send its e-mail still counts as not succeeded. An alarm on this metric sends to the topic.
_LAST_RESORT = "ExecutionsSucceeded"
# No Catch sees these ends, so the rule sends the e-mail.
_ENDS = {"TIMED_OUT": "timed out", "ABORTED": "was aborted"}


class Outcome(StrEnum):
    """The four outcomes.

    HEAL: the run or its retry succeeds, and sends no e-mail.
    HOLD: the run fails and leaves the warehouse unchanged. It sends an e-mail if one is due. The next good run catches
    up.
    WARN: the run succeeds and reports a warning.
    NOOP: the run finds nothing to do.
    """

    HEAL = "HEAL"
    HOLD = "HOLD"
    WARN = "WARN"
    NOOP = "NOOP"


@dataclass(frozen=True)
class Effect:
    """Everything that an execution can change: the lake's objects, and the place of the warehouse's rows."""

    objects: frozenset[str]
    rows: Mapping[str, str]


@dataclass(frozen=True)
class Execution:
    """An execution that has ended.

    Attributes:
        error, cause: why it failed; empty if it succeeded.
        path: the states that it went through.
        retried: the errors after which a state was tried again, in order.
        output: the states' results, by the states' names in lower case.
        remedy: the remedy of the error that failed it; empty if the error came from outside the functions.
        unsent: whether SNS refused its e-mail.
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
        """Returns the name. The local stack's e-mails don't link to AWS's console, so they hold no ARN."""
        return self.arn.rpartition(":")[2]

    @property
    def warnings(self) -> list[str]:
        """Returns the functions' warnings."""
        # The output also holds the input.
        results = [self.output.get(stage.lower(), {}) for stage in STAGES]
        return [text for result in results for text in result.get("warnings", [])]

    @property
    def mail(self) -> str:
        """Returns the only e-mail's text without its line breaks, followed by its reason and remedy side by side."""
        (mail,) = self.mails
        text = one_line(mail.message)
        why, remedy = text.partition(" Why ")[2], text.partition(" DO THIS ")[2]
        return f"{text} {why.partition(' Rows ')[0]} {remedy.partition(' Runbook ')[0]}"

    @property
    def changed_nothing(self) -> bool:
        return self.before == self.after

    @property
    def step(self) -> str:
        """Returns the stage in which the execution ended."""
        return next((state for state in reversed(self.path) if state in STAGES), "")

    @property
    def kind(self) -> tuple[str, str, str]:
        """Returns the values that are equal in a failure and its repetition."""
        return self.step, self.error or self.status, split_labels(self.cause).tables

    def mail_violations(self, due: bool) -> list[str]:
        """Returns the contradictions of I5: an e-mail that is missing, superfluous or incomplete."""
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
    """Returns for each execution whether an e-mail about it is due.

    The first failure of its kind is due, then one after an hour, then one a day, until an execution succeeds. A failure
    whose e-mail could not be sent does not count.
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
    """Returns the text without its line breaks, which differ between an e-mail and an error's message."""
    return " ".join(text.split())


def read_history(events: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Returns the path of an execution and its retried errors."""
    path = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    retried = [
        _error(event)
        for event, following in itertools.pairwise(events)
        if event["type"] in ("TaskFailed", "TaskTimedOut") and following["type"] == "TaskScheduled"
    ]
    return path, retried


def classify(executions: Sequence[Execution]) -> Outcome:
    """Returns the outcome of a test from all its executions."""
    if any(not execution.succeeded for execution in executions):
        return Outcome.HOLD
    if any(execution.warnings for execution in executions):
        return Outcome.WARN
    last = executions[-1]
    return Outcome.NOOP if last.path[-1] == "NothingNew" and last.changed_nothing else Outcome.HEAL


def contradictions(executions: Sequence[Execution]) -> list[str]:
    """Returns violations of what every outcome promises: no failure changes the warehouse, and a later run succeeds."""
    found = [
        f"{execution.error} failed the execution, and the warehouse has changed: {execution.cause}"
        for execution in executions
        if not execution.succeeded and execution.before.rows != execution.after.rows
    ]
    if not executions[-1].succeeded:
        found.append(f"no run has caught up; the last one said: {executions[-1].cause}")
    return found


def output_of(execution: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an execution's output from the answer of DescribeExecution; empty if it did not succeed."""
    output: dict[str, Any] = json.loads(execution.get("output", "{}"))
    return output


def _error(event: Mapping[str, Any]) -> str:
    details = event.get("taskFailedEventDetails") or event.get("taskTimedOutEventDetails") or {}
    return str(details.get("error", ""))
