import threading
from collections.abc import Iterator

import pytest

from totes.runtime.overlap import Behind, ahead


def counted(made: list[int], up_to: int, fails_at: int | None = None) -> Iterator[int]:
    for number in range(up_to):
        if number == fails_at:
            raise OSError(number)
        made.append(number)
        yield number


@pytest.mark.parametrize("items", [0, 1, 5])
def test_items_come_in_order_and_whole(items: int) -> None:
    assert list(ahead(counted([], items))) == list(range(items))


def test_item_that_is_false_is_not_the_end() -> None:
    assert list(ahead([0, None, b"", 1])) == [0, None, b"", 1]


def test_one_item_is_made_ahead_and_no_more() -> None:
    made: list[int] = []
    for item in ahead(counted(made, 9)):
        assert len(made) <= item + 2


def test_item_that_can_not_be_made_ends_those_before_it() -> None:
    used: list[int] = []
    with pytest.raises(OSError, match="2"):
        used.extend(ahead(counted([], 5, fails_at=2)))
    assert used == [0, 1]


def test_calls_run_in_order_and_have_ended_with_the_block() -> None:
    done: list[int] = []
    with Behind() as behind:
        for number in range(9):
            behind.run(done.append, number)
    assert done == list(range(9))


def test_caller_prepares_while_a_call_runs() -> None:
    prepared = threading.Event()
    with Behind() as behind:
        behind.run(lambda: prepared.wait(60))
        prepared.set()


@pytest.mark.parametrize("calls", [1, 2], ids=["last", "not the last"])
def test_failed_call_is_raised(calls: int) -> None:
    done: list[str] = []

    def fail() -> None:
        raise OSError("full")

    def run() -> None:
        with Behind() as behind:
            behind.run(fail)
            for _ in range(calls - 1):
                behind.run(done.append, "after")

    with pytest.raises(OSError, match="full"):
        run()
    assert not done


def test_error_of_the_block_is_the_one_that_is_raised() -> None:
    def fail() -> None:
        raise OSError("full")

    def run() -> None:
        with Behind() as behind:
            behind.run(fail)
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        run()
