"""Collects an execution's warnings and failed attempts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from totes.alerts.executions import Execution, FailedAttempt


@dataclass(frozen=True)
class Failures:
    """Failed attempts with the same error and cause, and their times."""

    error: str
    cause: str | None
    at: tuple[datetime, ...]


def alike(attempts: Sequence[FailedAttempt]) -> list[Failures]:
    """Groups failed attempts by error and cause, in the order of their first occurrence."""
    found: dict[tuple[str, str | None], list[datetime]] = {}
    for attempt in attempts:
        found.setdefault((attempt.error, attempt.cause), []).append(attempt.at)
    return [Failures(error, cause, tuple(at)) for (error, cause), at in found.items()]


def warnings(execution: Execution) -> list[str]:
    """Returns Ingest's warnings and its counts of quarantined rows, even if the execution failed later."""
    ingest = _ingested(execution)
    quarantined = [(table, rows) for table, rows in (ingest.get("quarantined") or {}).items() if rows]
    return [*ingest.get("warnings", []), *(_quarantined(table, rows) for table, rows in quarantined)]


def _quarantined(table: str, rows: int) -> str:
    return f"{rows:,} rows of {table} are quarantined" if rows > 1 else f"1 row of {table} is quarantined"


def _ingested(execution: Execution) -> Mapping[str, Any]:
    """Returns Ingest's result from its state's output. The execution's own output exists only after success."""
    outputs = [run.output for run in execution.states if run.name == "Ingest" and run.output]
    found: Mapping[str, Any] = json.loads(outputs[-1]).get("ingest", {}) if outputs else {}
    return found
