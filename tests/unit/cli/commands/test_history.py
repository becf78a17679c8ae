from datetime import UTC, date, datetime, time
from typing import Any

import pytest
from rich.console import Console

from cli.commands.history import SALES_ORDER, show_versions, with_changes


def version(number: int, **values: Any) -> dict[str, Any]:
    return {
        "version": number,
        "batch_id": number,
        "valid_from": datetime(2024, 11, number, tzinfo=UTC),
        "valid_to": None,
        "deleted": False,
        "sales_record_id": 100 + number,
        "sales_order_id": 42,
        "last_updated_date": date(2024, 10, 1),
        "last_updated_time": time(9, 30),
        "design_id": 7,
    } | values


def test_only_the_source_s_columns_count_as_changed() -> None:
    first, second = with_changes([version(1), version(2, design_id=8)])
    assert first["changed"] == []
    assert second["changed"] == ["design_id"]


def test_change_is_told_from_version_to_version() -> None:
    changes = with_changes([version(1), version(2, design_id=8), version(3, design_id=7)])
    assert [entry["changed"] for entry in changes] == [[], ["design_id"], ["design_id"]]


@pytest.mark.parametrize(
    ("stamp", "told"), [(time(9, 30), True), (time(9, 31), False)], ids=["silent amendment", "stamped"]
)
def test_silent_amendment_is_pointed_out(stamp: time, told: bool) -> None:
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as shown:
        show_versions(console, SALES_ORDER, 42, [version(1), version(2, design_id=8, last_updated_time=stamp)])
    assert "→ 8" in shown.get()
    assert ("One last_updated in all versions" in shown.get()) is told


def test_many_versions_are_shown_in_portions() -> None:
    console = Console(width=60)
    with console.capture() as shown:
        show_versions(console, SALES_ORDER, 42, [version(number, design_id=number) for number in range(1, 8)])
    assert all(f"2024-11-{number:02d}" in shown.get() for number in range(1, 8))
    assert max(len(line) for line in shown.get().splitlines()) <= 60
