import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from totes.errors import SourceUnreachable, WarehouseUnreachable
from totes.postgres.position import SourcePosition
from totes.verify.reconcile.snapshots import Snapshots
from totes.warehouse.warehouse import Warehouse

NOW = datetime(2026, 11, 23, tzinfo=UTC)
STATEMENT = "SELECT 1"


class Connection:
    """Answers with the result of a function."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def execute(self, _statement: object, _values: object) -> Any:
        rows = self._answer()
        return SimpleNamespace(all=lambda: rows)


@contextmanager
def snapshots(totesys: Callable[[], Any], warehouse: Callable[[], Any]) -> Iterator[Snapshots]:
    position = SourcePosition(None, None, 1, 2, 3)
    with ThreadPoolExecutor(1) as pool:
        connections: Any = (Connection(totesys), Connection(warehouse))
        yield Snapshots(position, NOW, connections[0], Warehouse(connections[1]), pool)


def lost() -> Any:
    raise ConnectionResetError("gone")


def test_both_are_asked_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=10)
    with snapshots(lambda: [together.wait(), "a"], lambda: [together.wait(), "b"]) as both:
        (one, totesys), (other, warehouse) = both.both(STATEMENT, STATEMENT)
    assert (totesys, warehouse) == ("a", "b")
    assert {one, other} == {0, 1}


@pytest.mark.parametrize(
    ("totesys", "warehouse", "error"),
    [(lost, list, SourceUnreachable), (list, lost, WarehouseUnreachable)],
    ids=["totesys", "warehouse"],
)
def test_lost_connection_is_told_by_its_own_name(
    totesys: Callable[[], Any], warehouse: Callable[[], Any], error: type[Exception]
) -> None:
    with snapshots(totesys, warehouse) as both, pytest.raises(error):
        both.both(STATEMENT, STATEMENT)
