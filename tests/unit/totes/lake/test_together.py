from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.support.allowances import half_used_after
from totes.errors import CorruptObject, LakeUnavailable
from totes.lake.together import Together
from totes.runtime.allowance import UNLIMITED

WRONG = CorruptObject("It is damaged.", "Restore it.")
AWAY = LakeUnavailable("S3 is away.")


@dataclass(frozen=True)
class Batch:
    number: int
    size: int = 1
    is_of_backfill: bool = False


class Work:
    """Does batches, all that it is given or none.

    Attributes:
        done: what was done, by call.
    """

    def __init__(self, *batches: Batch, wrong: int = 0, unreadable: int = 0, error: Exception = WRONG) -> None:
        self._batches = {batch.number: batch for batch in batches}
        self._wrong, self._unreadable, self._error = wrong, unreadable, error
        self.done: list[list[int]] = []

    def read(self, numbers: Sequence[int]) -> list[Batch]:
        if self._unreadable in numbers:
            raise self._error
        return [self._batches.get(number, Batch(number)) for number in numbers]

    def work(self, batches: Sequence[Batch]) -> list[int]:
        numbers = [batch.number for batch in batches]
        if self._wrong in numbers:
            raise self._error
        self.done.append(numbers)
        return numbers

    def all(self, together: Together, last: int) -> list[list[int]]:
        """Does all batches up to the last; returns which were done together."""
        while not self.done or self.done[-1][-1] < last:
            first = self.done[-1][-1] + 1 if self.done else 1
            together.do(range(first, last + 1), self.read, self.work)
        return self.done


def test_small_batches_are_done_together() -> None:
    assert Work().all(Together(UNLIMITED, most_rows=9, most=3), 8) == [[1, 2, 3], [4, 5, 6], [7, 8]]


def test_rows_limit_what_is_done_together() -> None:
    work = Work(Batch(3, size=99), Batch(6, size=8))
    assert work.all(Together(UNLIMITED, most_rows=9, most=5), 8) == [[1, 2], [3], [4, 5], [6, 7], [8]]


def test_each_batch_of_a_backfill_is_done_alone() -> None:
    work = Work(Batch(2, is_of_backfill=True), Batch(3, is_of_backfill=True))
    assert work.all(Together(UNLIMITED), 5) == [[1], [2], [3], [4, 5]]


def test_first_batch_needs_no_time_and_each_other_does() -> None:
    work = Work()
    assert Together(half_used_after(3)).do(range(1, 9), work.read, work.work) == [1, 2, 3]
    assert Together(half_used_after(1)).do(range(4, 9), work.read, work.work) == [4]


@pytest.mark.parametrize("how", ["wrong", "unreadable"])
def test_batches_before_a_wrong_one_are_done(how: str) -> None:
    work = Work(**{how: 3})  # type: ignore[arg-type]
    with pytest.raises(CorruptObject):
        work.all(Together(UNLIMITED), 5)
    assert work.done == [[1], [2]]


def test_batches_after_a_failed_attempt_are_done_together_again() -> None:
    work, together = Work(wrong=3), Together(UNLIMITED, most=4)
    for first in (1, 2):
        together.do(range(first, 9), work.read, work.work)
    work = Work()
    assert [together.do(range(first, 9), work.read, work.work) for first in (3, 4, 5)] == [[3], [4], [5, 6, 7, 8]]


def test_what_may_be_gone_in_a_moment_is_raised_at_once() -> None:
    work = Work(wrong=3, error=AWAY)
    with pytest.raises(LakeUnavailable):
        work.all(Together(UNLIMITED), 5)
    assert work.done == []
