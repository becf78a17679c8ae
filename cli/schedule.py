"""Reads, pauses and resumes the schedule: the EventBridge rule that starts executions.

The reason for a pause is kept at the end of the rule's description. EventBridge sets the description in the same call
as the state, accepts any text there, and shows it beside the rule. A tag's value may be half as long, without commas.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cli.errors import Misused
from local.aws.schedule import parse_rate
from local.state import StackNotRunning, running_stack
from totes.runtime.names import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from totes.alerts.executions import Execution
    from totes.runtime.names import Names

# EventBridge limits a description to 512 characters, including the rule's own text and the pause's time.
LONGEST_REASON = 300
_LONGEST = 512

_INTERVAL = re.compile(r"([1-9][0-9]*)(s|m|h)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
# The names of executions that the schedule started: two UUIDs from EventBridge, one from the local stack.
_SCHEDULED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(_.+)?")

_EVERY = "every "
_ENABLED, _DISABLED = "ENABLED", "DISABLED"
_MOMENT = "%Y-%m-%d %H:%M UTC"
_MARK = re.compile(r"\s*\[Paused (\d{4}-\d\d-\d\d \d\d:\d\d UTC)(?:: (.*))?\]$", re.DOTALL)
# PutRule clears these unless they are passed again.
_KEPT = ("ScheduleExpression", "RoleArn")


@dataclass(frozen=True)
class Schedule:
    """The schedule's state.

    Attributes:
        rule: the rule's name.
        rate: how often it starts an execution: EventBridge's expression, or `every 20s` after `totes up --every 20s`.
        since, reason: when and why the schedule was paused; None unless `totes pause` did it.
        next_start: when it starts the next execution, estimated by `expected_start`.
    """

    rule: str
    rate: str
    paused: bool
    since: datetime | None = None
    reason: str | None = None
    next_start: datetime | None = None


def read_schedule(names: "Names") -> Schedule:
    """Reads the schedule.

    Raises:
        Misused: the stage has no schedule.
    """
    return _schedule(_rule(names), names)


def expected_start(schedule: Schedule, executions: "Iterable[Execution]", now: datetime) -> datetime | None:
    """Estimates when the schedule starts the next execution: one interval after the last one that it started.

    No API returns that time. Returns None if the schedule is paused, if it started none of `executions`, if the local
    stack can't run its rate, or if the time passed over an interval ago: the rule was changed, or the laptop slept.
    """
    interval = _length(schedule.rate)
    started = [execution.started for execution in executions if _SCHEDULED.fullmatch(execution.name)]
    if schedule.paused or interval is None or not started:
        return None
    expected = max(started) + interval
    return expected if now < expected + interval else None


def checked_reason(text: str, named: str) -> str:
    """Returns a pause's reason on one line.

    Args:
        named: the input's name in the error message, for instance `--reason`.

    Raises:
        Misused: the reason is empty, or too long for EventBridge.
    """
    reason = " ".join(text.split())
    if not reason:
        raise Misused(f"{named} is empty: give a reason, or leave it out.")
    if len(reason) > LONGEST_REASON:
        raise Misused(f"{named} has {len(reason)} characters; EventBridge has room for {LONGEST_REASON}.")
    return reason


def pause_schedule(names: "Names", reason: str | None) -> Schedule:
    """Pauses the schedule and returns its former state. If it is already paused, changes only the reason, if given."""
    rule = _rule(names)
    before = _schedule(rule, names)
    if before.paused and reason is None:
        return before
    moment = before.since or datetime.now(UTC)
    mark = f"[Paused {moment:{_MOMENT}}{f': {reason}' if reason else ''}]"
    usual = _usual(rule)[: _LONGEST - len(mark) - 1]
    _put(rule, _DISABLED, f"{usual} {mark}".strip())
    return before


def resume_schedule(names: "Names") -> Schedule:
    """Resumes the schedule, deletes the pause's reason, and returns the former state."""
    rule = _rule(names)
    before = _schedule(rule, names)
    if before.paused or _usual(rule) != rule.get("Description", ""):
        _put(rule, _ENABLED, _usual(rule))
    return before


def _rule(names: "Names") -> dict[str, Any]:
    import boto3

    try:
        return dict(boto3.client("events").describe_rule(Name=names.rule))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise Misused(
            f"There is no rule {names.rule} in {names.region}: is stage {names.stage} deployed there?"
        ) from None


def _schedule(rule: dict[str, Any], names: "Names") -> Schedule:
    paused = rule["State"] == _DISABLED
    mark = _MARK.search(rule.get("Description", "")) if paused else None
    return Schedule(
        rule=rule["Name"],
        rate=_interval(names) or rule["ScheduleExpression"],
        paused=paused,
        since=datetime.strptime(mark[1], _MOMENT).replace(tzinfo=UTC) if mark else None,
        reason=mark[2] if mark else None,
    )


def parse_interval(option: str, text: str) -> timedelta:
    """Parses a duration such as 20s, 5m or 1h.

    Raises:
        Misused: the text has another form.
    """
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise Misused(f"{option} {text} is not an interval: write 20s, 5m or 1h.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _length(rate: str) -> timedelta | None:
    if rate.startswith(_EVERY):
        return parse_interval("--every", rate.removeprefix(_EVERY))
    with suppress(ValueError):
        return parse_rate(rate)
    return None


def _interval(names: "Names") -> str | None:
    """Returns the interval given to `totes up --every`, which overrides the rule: its rates are whole minutes."""
    if names.stage != LOCAL:
        return None
    with suppress(StackNotRunning):  # it may have stopped in the meantime
        if every := running_stack().every:
            return f"{_EVERY}{every}"
    return None


def _usual(rule: dict[str, Any]) -> str:
    """Returns the rule's description without the pause's mark."""
    return _MARK.sub("", rule.get("Description", ""))


def _put(rule: dict[str, Any], state: str, description: str) -> None:
    import boto3

    kept = {name: rule[name] for name in _KEPT if rule.get(name)}
    boto3.client("events").put_rule(Name=rule["Name"], State=state, Description=description, **kept)
