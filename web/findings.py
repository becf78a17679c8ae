"""What an operator has to know of an execution beside how it ended: warnings, and failed attempts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from totes.alerts.executions import Execution, FailedAttempt


@dataclass(frozen=True)
class Failures:
    """Attempts that failed alike: once what they say, and when each of them did."""

    error: str
    cause: str | None
    at: tuple[datetime, ...]


def alike(attempts: Sequence[FailedAttempt]) -> list[Failures]:
    """Failed attempts by what they say, in the order in which each was first said."""
    found: dict[tuple[str, str | None], list[datetime]] = {}
    for attempt in attempts:
        found.setdefault((attempt.error, attempt.cause), []).append(attempt.at)
    return [Failures(error, cause, tuple(at)) for (error, cause), at in found.items()]


def warnings(execution: Execution) -> list[str]:
    """What Ingest found odd, and which rows it quarantined; also of an execution that has failed since."""
    ingest = _ingested(execution)
    quarantined = [(table, rows) for table, rows in (ingest.get("quarantined") or {}).items() if rows]
    return [*ingest.get("warnings", []), *(_quarantined(table, rows) for table, rows in quarantined)]


def _quarantined(table: str, rows: int) -> str:
    return f"{rows:,} rows of {table} are quarantined" if rows > 1 else f"1 row of {table} is quarantined"


def _ingested(execution: Execution) -> Mapping[str, Any]:
    """What Ingest returned, by the output of its state: an execution has one only if it has succeeded."""
    outputs = [run.output for run in execution.states if run.name == "Ingest" and run.output]
    found: Mapping[str, Any] = json.loads(outputs[-1]).get("ingest", {}) if outputs else {}
    return found
