import pytest

from totes.runtime.allowance import UNLIMITED, Allowance


@pytest.mark.parametrize(
    ("left", "half", "nearly"),
    [(300_000, False, False), (150_001, False, False), (150_000, True, False), (30_000, True, True), (0, True, True)],
)
def test_batches_begin_in_the_first_half(left: int, half: bool, nearly: bool) -> None:
    remaining = iter([300_000, left, left])
    allowance = Allowance(lambda: next(remaining))
    assert (allowance.is_half_used, allowance.is_nearly_used) == (half, nearly)


def test_function_without_any_time_begins_nothing_more() -> None:
    assert Allowance(lambda: 0).is_half_used


def test_command_has_all_the_time_it_needs() -> None:
    assert (UNLIMITED.is_half_used, UNLIMITED.is_nearly_used) == (False, False)
