from collections.abc import Mapping
from typing import Any

from rich.console import Console

from cli.render.executions import rows_moved

_NOTHING_LANDED: Mapping[str, Any] = {"batch": None, "rows": {}, "deleted": {}, "landed_through": 3}
_NOTHING_LOADED: Mapping[str, Any] = {
    "first": None,
    "last": None,
    "batches": 0,
    "inserted": {},
    "updated": {},
    "tombstones": {},
}


def test_an_execution_that_found_nothing_says_so() -> None:
    assert _shown({"ingest": _NOTHING_LANDED, "load": _NOTHING_LOADED}) == (
        "Nothing new: no object and no row was written."
    )


def test_a_batch_that_another_execution_has_loaded_is_landed_only() -> None:
    landed = {"batch": 4, "rows": {"design": 2}, "deleted": {}, "landed_through": 4}
    shown = _shown({"ingest": landed, "load": _NOTHING_LOADED})
    assert "batch 4 landed" in shown
    assert "loaded" not in shown


def _shown(output: Mapping[str, Any]) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(rows_moved(output))
    return captured.get().strip()
