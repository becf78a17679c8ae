"""Decides which failures send an e-mail: the first of its kind, then one after an hour, then one a day, until recovery.

Pure functions of what earlier executions did (docs/adr/0028-repeated-failures.md).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from totes.errors import SettingsInvalid

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_INTERVAL = re.compile(r"([1-9]\d{0,3})([mhd])")
SHORTEST = timedelta(minutes=5)
# Without it, an execution that fails a few seconds sooner than the one before would put its mail off to the next one.
_SLACK = timedelta(minutes=1)


@dataclass(frozen=True)
class Kind:
    """The kind of a failure. Two failures of one kind are the same, although numbers in their texts may differ.

    Attributes:
        stage: Ingest, Transform or Load.
        error: the error's name.
        tables: the tables that the error is about, as the error names them; empty if it names none.
    """

    stage: str
    error: str
    tables: str = ""


@dataclass(frozen=True)
class LastMail:
    """The last e-mail about a kind of failure.

    Attributes:
        execution: the name of the execution that sent it.
        mails: how many e-mails about it there have been since the last success, this one included.
    """

    execution: str
    at: datetime
    mails: int

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls(document["execution"], datetime.fromisoformat(document["at"]), document["mails"])

    def as_json(self) -> dict[str, object]:
        return {"execution": self.execution, "at": self.at.isoformat(), "mails": self.mails}


@dataclass(frozen=True)
class Attempt:
    """One failure of an execution; a redriven execution may have failed several times.

    Attributes:
        execution: the execution's name.
        at: when the state machine reached the e-mail, or when the execution ended if it caught nothing.
        is_known: whether the execution's history says which e-mail was the last. If the state machine caught nothing,
            it does not: then totes-<stage>-watch has decided about the e-mail.
        last_mail: the last e-mail about this kind of failure, this attempt's own included; None if there was none.
    """

    execution: str
    kind: Kind
    at: datetime
    is_known: bool = False
    last_mail: LastMail | None = None


@dataclass(frozen=True)
class Decision:
    """Whether a failure sends an e-mail.

    Attributes:
        last_mail: the last e-mail about this kind of failure; None if this is the first.
        again: how long the next e-mail waits after this one, or after the last one if none is due now.
    """

    is_due: bool
    last_mail: LastMail | None
    again: timedelta


@dataclass(frozen=True)
class Intervals:
    """How long to wait for the second e-mail, the third and so on; the last interval repeats."""

    spans: Sequence[timedelta]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads intervals such as `1h,24h`.

        Raises:
            SettingsInvalid: it is not a list of minutes, hours and days of at least 5 minutes each.
        """
        found = [_INTERVAL.fullmatch(part.strip()) for part in text.split(",")]
        spans = [timedelta(**{_UNITS[match[2]]: int(match[1])}) for match in found if match]
        if len(spans) != len(found) or min(spans) < SHORTEST:
            raise SettingsInvalid(
                f"The intervals between e-mails about the same failure are {text!r}. Expected: times of at least 5m, "
                "in minutes, hours or days, such as 1h,24h.",
                'Correct mailIntervals under params in serverless.yml, or --param="mailIntervals=…", and deploy.',
            )
        return cls(spans)

    def after(self, mails: int) -> timedelta:
        """Returns how long after the n-th e-mail the next one is due."""
        return self.spans[min(mails, len(self.spans)) - 1]

    def is_due(self, last_mail: LastMail | None, now: datetime) -> bool:
        return last_mail is None or now - last_mail.at >= self.after(last_mail.mails) - _SLACK


def decide(kind: Kind, now: datetime, earlier: Iterable[Attempt], intervals: Intervals) -> Decision:
    """Decides whether a failure at `now` sends an e-mail.

    Args:
        earlier: the failures since the last success, newest first. No more of them are read than needed, because each
            takes a request.
    """
    last_mail = _last_mail(kind, earlier, intervals)
    is_due = intervals.is_due(last_mail, now)
    mails = (last_mail.mails if last_mail else 0) + is_due
    return Decision(is_due, last_mail, intervals.after(mails))


def _last_mail(kind: Kind, earlier: Iterable[Attempt], intervals: Intervals) -> LastMail | None:
    last_mail: LastMail | None = None
    unknown: list[Attempt] = []
    for attempt in earlier:
        if attempt.kind != kind:
            continue
        if attempt.is_known:
            last_mail = attempt.last_mail
            break
        unknown.append(attempt)
    for attempt in reversed(unknown):
        if intervals.is_due(last_mail, attempt.at):
            last_mail = mail_after(last_mail, attempt.execution, attempt.at)
    return last_mail


def mail_after(last_mail: LastMail | None, execution: str, at: datetime) -> LastMail:
    """Returns the e-mail that follows another one."""
    return (
        replace(last_mail, execution=execution, at=at, mails=last_mail.mails + 1)
        if last_mail
        else LastMail(execution, at, 1)
    )


def in_words(span: timedelta) -> str:
    """Returns an interval in words: 30 minutes, 1 hour, 24 hours, 2 days."""
    minutes = int(span.total_seconds() // 60)
    for unit, length in (("day", 1440), ("hour", 60), ("minute", 1)):
        if minutes % length == 0 and (minutes > length or unit != "day"):
            count = minutes // length
            return f"1 {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError(span)
