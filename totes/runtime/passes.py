"""Adds up the results of passes: an execution that catches up goes through Transform and Load several times."""

from collections.abc import Mapping
from typing import Any


def in_total(stage: str, so_far: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the result of a stage's pass with the earlier passes' counts added: batches, and rows by table.

    Args:
        stage: its name in lower case, under which the state machine keeps its result.
        so_far: the stages' results so far, by their names.
    """
    before = so_far.get(stage) or {"first": None, "last": None, "batches": 0}
    return {
        **{
            name: _sum(before.get(name, {}), value) if isinstance(value, dict) else value
            for name, value in result.items()
        },
        "first": before["first"] or result["first"],
        "last": result["last"] or before["last"],
        "batches": before["batches"] + result["batches"],
    }


def batches_of(result: Mapping[str, Any]) -> str:
    """Returns the batches of a stage's result in words: `batch 7`, or `batches 7 to 1,009`."""
    first, last = result["first"], result["last"]
    return f"batch {last:,}" if first == last else f"batches {first:,} to {last:,}"


def left_to(so_far: Mapping[str, Any], loaded: Mapping[str, Any]) -> str | None:
    """Returns the ARN of the execution to which this one leaves batches; None if all that Ingest found is loaded.

    Args:
        so_far: the results of Ingest and Transform.
        loaded: the result that Load is about to return.
    """
    landed = so_far.get("ingest", {}).get("landed_through")
    if landed is not None and loaded["loaded_through"] >= landed:
        return None
    other: str | None = loaded["catching_up"] or so_far.get("transform", {}).get("catching_up")
    return other


def _sum(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {table: counts.get(table, 0) + more.get(table, 0) for table in {**counts, **more}}
