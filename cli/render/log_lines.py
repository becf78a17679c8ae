"""The functions' log lines of one execution, out of CloudWatch Logs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from totes.runtime.names import FUNCTIONS

if TYPE_CHECKING:
    from totes.alerts.executions import Execution
    from totes.runtime.names import Names

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# The line about an execution's end comes after it, from the function `watch`, and CloudWatch takes its time.
AFTER_THE_END = timedelta(minutes=5)

_LINE_STAMP = "%Y-%m-%d %H:%M:%S,%f%z"
# On every line, the same for all lines of a function, or told in another way.
_USUAL = {"level", "location", "message", "timestamp", "service", "execution", "exception", "exception_name"} | {
    *("cold_start", "function_name", "function_memory_size", "function_arn", "function_request_id", "xray_trace_id"),
}


@dataclass(frozen=True)
class LogLine:
    """One line.

    Attributes:
        event_id: CloudWatch's own, by which a line that is read again is known.
        function: for instance `ingest`.
        trace: the stack trace; None where there is none.
        fields: what else it says.
    """

    event_id: str
    at: datetime
    function: str
    level: str
    message: str
    trace: str | None
    fields: Mapping[str, Any]

    def as_document(self) -> dict[str, Any]:
        """The line for `--json`."""
        return {name: value for name, value in asdict(self).items() if name != "event_id"}

    def at_least(self, level: str) -> bool:
        """Whether it is as grave as a level, or graver. A level that is unknown here is shown."""
        return self.level not in LEVELS or LEVELS.index(self.level) >= LEVELS.index(level)


def read_lines(
    names: "Names", execution: "Execution", since: datetime | None = None, functions: Sequence[str] = FUNCTIONS
) -> list[LogLine]:
    """The lines of all functions, or of some, oldest first.

    Args:
        since: what is older is left out; else the execution's start.
    """
    lines = [line for function in functions for line in _lines(names, function, execution, since)]
    return sorted(lines, key=lambda line: line.at)


def parse_line(function: str, event: Mapping[str, Any], execution: str) -> LogLine | None:
    """A line of a function's log; None where it is not one of the execution.

    CloudWatch has filtered already, but the stand-in on a laptop knows no patterns of JSON.
    """
    try:
        said = json.loads(event["message"])
    except ValueError:
        return None
    # The line that is a metric belongs to CloudWatch, though it is of the execution as well.
    if not isinstance(said, dict) or said.get("execution") != execution or "_aws" in said:
        return None
    return LogLine(
        event_id=event["eventId"],
        at=_moment(said.get("timestamp"), event["timestamp"]),
        function=function,
        level=str(said.get("level", "")),
        message=str(said.get("message", "")),
        trace=said.get("exception"),
        fields={name: value for name, value in said.items() if name not in _USUAL},
    )


def _lines(names: "Names", function: str, execution: "Execution", since: datetime | None) -> Iterator[LogLine]:
    import boto3

    # Without bounds CloudWatch would search all that the group keeps.
    bounds = {"startTime": _milliseconds(since or execution.started)}
    if execution.stopped:
        bounds["endTime"] = _milliseconds(execution.stopped + AFTER_THE_END)
    pages = (
        boto3.client("logs")
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=names.log_group(function),
            filterPattern=f'{{ $.execution = "{execution.arn}" }}',
            **bounds,
        )
    )
    for page in pages:
        for event in page["events"]:
            if line := parse_line(function, event, execution.arn):
                yield line


def _moment(stamp: object, milliseconds: int) -> datetime:
    """When a line was written: as it says itself, or else as CloudWatch does."""
    try:
        return datetime.strptime(str(stamp), _LINE_STAMP).astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
