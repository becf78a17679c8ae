import gc
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from totes.lake import keys as module
from totes.lake.keys import Keys

MAX = 2**31 - 1
NUMBERS = st.lists(st.one_of(st.sampled_from([-MAX - 1, -1, 0, 1, 2, 3, MAX]), st.integers(-20, 20)), max_size=9)
# As they come: several arrays, of which each may begin below the end of the one before.
SEVERAL = st.lists(NUMBERS, max_size=5)
FOLDER = Path(tempfile.gettempdir())


@pytest.fixture(autouse=True, scope="module")
def few_at_once() -> Iterator[None]:
    """Sorts three keys at once and reads two, so that a few make runs, which are read in pieces."""
    with mock.patch.multiple(module, _SORTED_AT_ONCE=3, _AT_ONCE=2, _LEAST=2):
        yield


def array(numbers: list[int]) -> pa.Array:
    """Returns keys after a number that is cut off: Arrow's buffers still hold what was cut off."""
    return pa.array([3, *numbers], pa.int32())[1:]


def keys(several: list[list[int]], nulls: int = 0) -> Keys:
    made = Keys(FOLDER, pa.int32())
    for numbers in several:
        made.add(array(numbers))
    made.add(pa.nulls(nulls, pa.int32()))
    return made


def runs(several: list[list[int]]) -> list[int]:
    made = keys(several)
    made.to_pylist()
    return made._runs


def flat(several: list[list[int]]) -> list[int]:
    return [number for numbers in several for number in numbers]


@settings(deadline=None)
@given(SEVERAL)
def test_keys_come_in_order(several: list[list[int]]) -> None:
    made = keys(several)
    assert made.to_pylist() == sorted(flat(several))
    assert len(made) == len(flat(several))
    assert {piece.dtype for piece in made.in_order()} <= {np.dtype("int32")}


@settings(deadline=None)
@given(SEVERAL)
def test_keys_of_one_value_come_in_one_piece(several: list[list[int]]) -> None:
    pieces = [piece.tolist() for piece in keys(several).in_order()]
    assert [value for piece in pieces for value in sorted(set(piece))] == sorted(set(flat(several)))


@settings(deadline=None)
@given(SEVERAL, SEVERAL)
def test_keys_without_others(several: list[list[int]], others: list[list[int]]) -> None:
    left = keys(several).minus(keys(others))
    assert left.to_pylist() == sorted(key for key in flat(several) if key not in flat(others))
    assert left.kind == pa.int32()


@settings(deadline=None)
@given(SEVERAL, SEVERAL)
def test_keys_and_others(several: list[list[int]], others: list[list[int]]) -> None:
    assert keys(several).plus(keys(others)).to_pylist() == sorted([*flat(several), *flat(others)])


@settings(deadline=None)
@given(SEVERAL)
def test_distinct_keys_are_there_once(several: list[list[int]]) -> None:
    assert keys(several).distinct().to_pylist() == sorted(set(flat(several)))


@settings(deadline=None)
@given(SEVERAL, st.integers(0, 2))
def test_repeated_keys_are_counted_and_null_is_one_of_them(several: list[list[int]], nulls: int) -> None:
    counts = {key: rows for key, rows in Counter(flat(several)).items() if rows > 1}
    assert keys(several, nulls).repeated() == (counts | {None: nulls} if nulls else counts)


@settings(deadline=None)
@given(SEVERAL, st.sets(st.integers(-3, 2**40)))
def test_some_keys_are_found_among_all(several: list[list[int]], wanted: set[int]) -> None:
    assert keys(several).having(wanted) == wanted & set(flat(several))


def test_keys_that_come_in_order_are_one_run() -> None:
    assert runs([[1, 2], [2, 3], [9]]) == [0]
    assert runs([[1, 2, 3], [4, 1]]) == [0, 3]


def test_narrower_keys_are_widened(tmp_path: Path) -> None:
    made = Keys(tmp_path, pa.int64(), [2**40])
    made.add(pa.array([7, 8], pa.int16()))
    assert made.to_pylist() == [7, 8, 2**40]


def test_keys_may_be_dates(tmp_path: Path) -> None:
    days = [date(2026, 11, 30), date(1, 1, 1), date(9999, 12, 31), date(2026, 11, 30)]
    made = Keys(tmp_path, pa.date32())
    made.add(pa.array(days))
    assert made.to_pylist() == sorted(days)
    assert made.repeated() == {date(2026, 11, 30): 2}


def test_file_goes_with_the_keys(tmp_path: Path) -> None:
    made = Keys(tmp_path, pa.int64(), [1, 2])
    left = made.minus(Keys(tmp_path, pa.int64(), [3]))
    assert left.to_pylist() == [1, 2]
    assert len([*tmp_path.iterdir()]) == 2
    del made, left
    gc.collect()
    assert [*tmp_path.iterdir()] == []
