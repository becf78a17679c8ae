"""Reads an execution's log lines from CloudWatch Logs."""

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
# The function `watch` logs an execution's end after it, and CloudWatch shows the line later still.
AFTER_THE_END = timedelta(minutes=5)

_LINE_STAMP = "%Y-%m-%d %H:%M:%S,%f%z"
# Fields that are not shown: they are equal on all lines of a function, or shown in another way.
_USUAL = {"level", "location", "message", "timestamp", "service", "execution", "exception", "exception_name"} | {
    *("cold_start", "function_name", "function_memory_size", "function_arn", "function_request_id", "xray_trace_id"),
}


@dataclass(frozen=True)
class LogLine:
    """A log line.

    Attributes:
        event_id: CloudWatch's id; it identifies a line that is read twice.
        function: the function's short name, for instance `ingest`.
        trace: the stack trace, or None.
        fields: the line's other fields.
    """

    event_id: str
    at: datetime
    function: str
    level: str
    message: str
    trace: str | None
    fields: Mapping[str, Any]

    def as_document(self) -> dict[str, Any]:
        """Returns the line for `--json`."""
        return {name: value for name, value in asdict(self).items() if name != "event_id"}

    def at_least(self, level: str) -> bool:
        """Returns whether the line's level is `level` or higher. True if the line's level is unknown."""
        return self.level not in LEVELS or LEVELS.index(self.level) >= LEVELS.index(level)


def read_lines(
    names: "Names", execution: "Execution", since: datetime | None = None, functions: Sequence[str] = FUNCTIONS
) -> list[LogLine]:
    """Reads the lines of all or some functions, oldest first.

    Args:
        since: the earliest time to read; None means the execution's start.
    """
    lines = [line for function in functions for line in _lines(names, function, execution, since)]
    return sorted(lines, key=lambda line: line.at)


def parse_line(function: str, event: Mapping[str, Any], execution: str) -> LogLine | None:
    """Parses a log event; returns None if it does not belong to the execution.

    CloudWatch filters by execution, but the local stand-in does not support JSON patterns.
    """
    try:
        said = json.loads(event["message"])
    except ValueError:
        return None
    # Skips the metric lines (EMF): they are for CloudWatch.
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
    """Returns when a line was written: by its own timestamp, or else by CloudWatch's."""
    try:
        return datetime.strptime(str(stamp), _LINE_STAMP).astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
