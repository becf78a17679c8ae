from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import pytest
from rich.console import Console

from cli.commands.history import show_amended, show_versions
from cli.deployment import Target
from cli.versions import ORDERS, PAYMENT, SALES_ORDER, Entity, with_changes


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
    assert ("All versions have the same last_updated" in shown.get()) is told


def test_many_versions_are_shown_in_portions() -> None:
    console = Console(width=60)
    with console.capture() as shown:
        show_versions(console, SALES_ORDER, 42, [version(number, design_id=number) for number in range(1, 8)])
    assert all(f"2024-11-{number:02d}" in shown.get() for number in range(1, 8))
    assert max(len(line) for line in shown.get().splitlines()) <= 60


def amended(entity: str, number: int) -> dict[str, Any]:
    return {
        "entity": entity,
        "id": number,
        "versions": 3,
        "amended_at": datetime(2026, 11, 30, 12, tzinfo=UTC),
        "changed": ["item_code", "staff_id"],
    }


@pytest.mark.parametrize("width", [60, 120])
def test_amended_orders_are_listed_with_a_command_for_one(width: int) -> None:
    console = Console(width=width)
    found = [amended("purchase_order", 7007), amended("sales_order", 9), amended("purchase_order", 3)]
    with console.capture() as shown:
        show_amended(console, Target("dev"), ORDERS, found, 12)
    words = " ".join(shown.get().split())
    assert "purchase order 7007 3 2026-11-30" in words or width == 60
    assert words.endswith(
        "3 of 12 orders, latest amendment first; --limit 12 lists all. "
        "All versions of one sales order: totes --stage dev history 9 "
        "All versions of one purchase order: totes --stage dev history --purchase 7007"
    )


@pytest.mark.parametrize(("entities", "words"), [(ORDERS, "order"), ([PAYMENT], "payment")], ids=["orders", "payments"])
def test_nothing_amended_is_said(entities: Sequence[Entity], words: str) -> None:
    console = Console(width=100)
    with console.capture() as shown:
        show_amended(console, Target(), entities, [], 0)
    assert shown.get() == f"No {words} has more than one version: none was amended.\n"
