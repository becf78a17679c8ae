from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from totes.lake.keys import difference, in_order, repeated_keys, sorted_union

MAX = 2**31 - 1
NUMBERS = st.lists(st.sampled_from([-MAX - 1, -1, 0, 1, 2, 3, MAX]), max_size=9)


def array(numbers: list[int]) -> pa.Array:
    """Returns keys after a number that is cut off: Arrow's buffers still hold what was cut off."""
    return pa.array([3, *numbers], pa.int32())[1:]


@given(NUMBERS, NUMBERS)
def test_keys_without_others_stay_in_their_order(keys: list[int], others: list[int]) -> None:
    assert difference(array(keys), array(others)).to_pylist() == [key for key in keys if key not in others]


@given(NUMBERS)
def test_keys_are_put_in_order(keys: list[int]) -> None:
    ordered = in_order(array(keys))
    assert ordered.to_pylist() == sorted(keys)
    assert ordered.type == pa.int32()


@given(NUMBERS)
def test_united_keys_are_there_once_and_in_order(keys: list[int]) -> None:
    once = sorted_union(array(keys))
    assert once.to_pylist() == sorted(set(keys))
    assert once.type == pa.int32()


@given(NUMBERS, NUMBERS, st.integers(0, 2))
def test_repeated_keys_are_counted_and_null_is_one_of_them(some: list[int], others: list[int], nulls: int) -> None:
    keys = pa.chunked_array([array(some), array(others), pa.nulls(nulls, pa.int32())], pa.int32())
    counts = {key: rows for key, rows in Counter([*some, *others]).items() if rows > 1}
    assert repeated_keys(keys) == (counts | {None: nulls} if nulls else counts)
    assert repeated_keys(array(some)) == {key: rows for key, rows in Counter(some).items() if rows > 1}
