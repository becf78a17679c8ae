"""Gives functions time for a fixed number of batches, however fast the machine is."""

from totes.runtime.allowance import Allowance


def half_used_after(batches: int) -> Allowance:
    """Returns an allowance for a number of batches. The first batch always begins."""
    times = iter([100] * batches)
    return Allowance(lambda: next(times, 40))
