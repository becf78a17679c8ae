"""Describes a successful or running execution in a few sentences."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cli.render.executions import catching_up
from cli.render.terminal import took
from totes.alerts.executions import Execution, stood_aside
from totes.contracts.declarations import calendars
from totes.runtime.names import STAGES
from totes.runtime.passes import batches_of

Output = Mapping[str, Any]


def describe_end(execution: Execution) -> str:
    """Describes what a successful execution did."""
    ingest, transform, load = (execution.output.get(stage.lower(), {}) for stage in STAGES)
    sentences = [f"Execution {execution.name} SUCCEEDED. It started at {_moment(execution.started)}"]
    sentences[0] += f" and took {took(execution.seconds)}."
    sentences += [_landed(ingest), _processed(transform), _loaded(load)]
    if stood_aside(execution.output):
        sentences.append(f"It left the rest to another one: {catching_up(execution.output)}.")
    repeated = [f"{state.name} took {state.attempts} attempts." for state in execution.states if state.attempts > 1]
    passes = sum(state.name == "Load" for state in execution.states)
    if passes > 1:
        repeated.append(
            f"It took {passes} passes through Transform and Load, because a function's run time is limited."
        )
    warnings = [f"Warning: {warning}." for warning in ingest.get("warnings", [])]
    return " ".join(sentence for sentence in (*sentences, *repeated, *warnings) if sentence)


def describe_running(execution: Execution, now: datetime) -> str:
    """Describes what a running execution is doing."""
    sentences = [f"Execution {execution.name} has been running for {took((now - execution.started).total_seconds())}."]
    at = execution.states[-1] if execution.states else None
    if at and at.exited is None:
        attempt = f", by attempt {at.attempts}" if at.attempts > 1 else ""
        after = f" The attempt before failed with {at.error}." if at.error else ""
        sentences.append(f"It has been in {at.name} for {took(at.seconds_until(now))}{attempt}.{after}")
    sentences.append(f"Follow its log with `totes logs {execution.name} --follow`.")
    return " ".join(sentences)


def _landed(ingest: Output) -> str:
    if ingest.get("batch") is None:
        return "Ingest found nothing new in totesys."
    gone = _sum(ingest.get("deleted"))
    deleted = f", and {gone:,} deleted" if gone else ""
    return f"Ingest landed batch {ingest['batch']}: {_rows(ingest['rows'])}{deleted}."


def _processed(transform: Output) -> str:
    if not transform.get("batches"):
        return ""
    rows = {table: count for table, count in transform["rows"].items() if table not in calendars()}
    return f"Transform made {_rows(rows)} from {batches_of(transform)}."


def _loaded(load: Output) -> str:
    if not load.get("batches"):
        return "" if load.get("catching_up") else "The warehouse was up to date, so Load wrote no row."
    counts = (("added", load["inserted"]), ("updated", load["updated"]), ("marked as deleted", load["tombstones"]))
    done = [f"{_sum(rows):,} {word}" for word, rows in counts if _sum(rows)]
    return f"Load wrote {batches_of(load)} to the warehouse: {', '.join(done) or 'no row differed'}."


def _rows(rows: Mapping[str, int]) -> str:
    count, tables = _sum(rows), len(rows)
    return f"{count:,} {'row' if count == 1 else 'rows'} in {tables} {'table' if tables == 1 else 'tables'}"


def _sum(rows: Mapping[str, int] | None) -> int:
    return sum((rows or {}).values())


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
