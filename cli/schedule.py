"""The schedule: the EventBridge rule, whether it starts executions, and why not.

Why it is paused is kept at the end of the rule's description, because EventBridge sets that in the same call as the
state, takes any text there, and shows it beside the rule. A tag's value may have half the length and no comma.
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

# Of a description EventBridge keeps 512 characters; the rule's own and the moment are in there too.
LONGEST_REASON = 300
_LONGEST = 512

_INTERVAL = re.compile(r"([1-9][0-9]*)(s|m|h)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
# An execution that the schedule started: EventBridge names it by two UUIDs, the local stack by one.
_SCHEDULED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(_.+)?")

_EVERY = "every "
_ENABLED, _DISABLED = "ENABLED", "DISABLED"
_MOMENT = "%Y-%m-%d %H:%M UTC"
_MARK = re.compile(r"\s*\[Paused (\d{4}-\d\d-\d\d \d\d:\d\d UTC)(?:: (.*))?\]$", re.DOTALL)
# What PutRule would forget if it were not given again.
_KEPT = ("ScheduleExpression", "RoleArn")


@dataclass(frozen=True)
class Schedule:
    """What starts executions.

    Attributes:
        rule: the rule's name.
        rate: how often it starts one: in EventBridge's words, or like `every 20s` by `totes up --every 20s`.
        since, reason: of a pause, where `totes pause` made it.
        next_start: when it starts the next execution, as `expected_start` expects.
    """

    rule: str
    rate: str
    paused: bool
    since: datetime | None = None
    reason: str | None = None
    next_start: datetime | None = None


def read_schedule(names: "Names") -> Schedule:
    """The schedule as it is.

    Raises:
        Misused: the stage has none.
    """
    return _schedule(_rule(names), names)


def expected_start(schedule: Schedule, executions: "Iterable[Execution]", now: datetime) -> datetime | None:
    """Returns when the schedule starts the next execution: an interval after the last one that it started.

    No API tells. None if the schedule is paused, if none of `executions` was started by it, if the rate is none that is
    run locally, and if the time is long over: then the rule was changed meanwhile, or the laptop slept.
    """
    interval = _length(schedule.rate)
    started = [execution.started for execution in executions if _SCHEDULED.fullmatch(execution.name)]
    if schedule.paused or interval is None or not started:
        return None
    expected = max(started) + interval
    return expected if now < expected + interval else None


def checked_reason(text: str, named: str) -> str:
    """Returns a reason for a pause in one line.

    Args:
        named: what the user calls it, for the error.

    Raises:
        Misused: it is empty, or longer than EventBridge has room for.
    """
    reason = " ".join(text.split())
    if not reason:
        raise Misused(f"{named} is empty: say why, or leave it out.")
    if len(reason) > LONGEST_REASON:
        raise Misused(f"{named} has {len(reason)} characters; EventBridge has room for {LONGEST_REASON}.")
    return reason


def pause_schedule(names: "Names", reason: str | None) -> Schedule:
    """Stops the schedule; returns what it was. Of one that is paused only the reason changes, where one is given."""
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
    """Lets the schedule run, and forgets why it did not; returns what it was."""
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
    """A length of time like 20s, 5m or 1h.

    Raises:
        Misused: it is something else.
    """
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise Misused(f"{option} {text} is no interval: write 20s, 5m or 1h.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _length(rate: str) -> timedelta | None:
    if rate.startswith(_EVERY):
        return parse_interval("--every", rate.removeprefix(_EVERY))
    with suppress(ValueError):
        return parse_rate(rate)
    return None


def _interval(names: "Names") -> str | None:
    """Returns what the local stack was told to go by instead of its rule: EventBridge's rates are whole minutes."""
    if names.stage != LOCAL:
        return None
    with suppress(StackNotRunning):  # it may have ended meanwhile
        if every := running_stack().every:
            return f"{_EVERY}{every}"
    return None


def _usual(rule: dict[str, Any]) -> str:
    """The description without the mark of a pause."""
    return _MARK.sub("", rule.get("Description", ""))


def _put(rule: dict[str, Any], state: str, description: str) -> None:
    import boto3

    kept = {name: rule[name] for name in _KEPT if rule.get(name)}
    boto3.client("events").put_rule(Name=rule["Name"], State=state, Description=description, **kept)
