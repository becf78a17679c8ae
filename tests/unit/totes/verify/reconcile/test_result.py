from datetime import UTC, datetime

import pytest

from totes.verify.reconcile.result import (
    SHOWN,
    Cell,
    Keys,
    Reconciliation,
    TableDifferences,
    buckets_apart,
    rows_apart,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def differences() -> TableDifferences:
    return TableDifferences("dim_design", "design", "design_id")


@pytest.mark.parametrize(
    ("warehouse", "apart"),
    [
        pytest.param([(1, 9, 70), (0, 10, 60)], [], id="the same in another order"),
        pytest.param([(0, 10, 60), (1, 8, 70)], [1], id="rows"),
        pytest.param([(0, 10, 61), (1, 9, 71)], [0, 1], id="checksums"),
        pytest.param([(0, 10, 60)], [1], id="none in the warehouse"),
        pytest.param([(-1, 1, 5), (0, 10, 60), (1, 9, 70)], [-1], id="none in totesys"),
        pytest.param([(0, 10, 60, 1.5), (1, 9, 70, 2.5)], [], id="other sums alone"),
    ],
)
def test_buckets_are_told_apart(warehouse: list[tuple[int, ...]], apart: list[int]) -> None:
    assert buckets_apart([(0, 10, 60), (1, 9, 70)], warehouse) == apart


def test_rows_are_told_apart() -> None:
    totesys = [(1, 11, False), (2, 22, False), (3, 33, True), (4, 44, True), (5, 55, True)]
    apart = rows_apart(totesys, [(1, 11, False), (2, 20, False), (3, 30, False), (5, 55, False), (6, 66, False)])
    assert (apart.missing, apart.extra, apart.differing) == ({4}, {6}, {2, 3})
    assert apart.new == {3, 4}, "row 5 is new, and the same"


def test_all_keys_are_counted_and_the_lowest_named() -> None:
    keys = Keys()
    keys.add({3, 1})
    keys.add({2})
    assert keys == Keys(3, [1, 2, 3])
    keys.add(range(10, 10 + SHOWN))
    assert keys == Keys(3 + SHOWN, [1, 2, 3, 10, 11])


def test_columns_are_counted_and_values_of_named_rows_kept() -> None:
    found = differences()
    found.differing.add([1, 2])
    found.add_values(["a", "b"], {2: ["x", None], 1: ["x", "y"]}, {1: ["x", "z"], 2: ["w", ""]})
    found.add_values(["a", "b"], {3: ["x", "y"]}, {3: ["x", "z"]})
    assert found.columns == {"b": 3, "a": 1}
    assert found.cells == [Cell(1, "b", "y", "z"), Cell(2, "a", "x", "w"), Cell(2, "b", None, "")]


@pytest.mark.parametrize(
    ("kind", "agrees"),
    [("missing", False), ("extra", False), ("differing", False), ("on_their_way", True), ("kept", True)],
)
def test_only_what_is_wrong_is_a_difference(kind: str, agrees: bool) -> None:
    found = differences()
    getattr(found, kind).add([7])
    assert found.agrees is agrees
    assert Reconciliation(1, NOW, NOW, None, [differences(), found]).agrees is agrees
