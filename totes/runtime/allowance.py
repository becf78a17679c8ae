"""How much of its time a function may use for batches."""

from collections.abc import Callable


class Allowance:
    """The time that a function has, from the moment at which this object is made.

    A batch may need all the time that is left. So no batch begins in the second half: the first one has the function's
    whole time, and each later one at least half of it.

    Args:
        remaining: returns the milliseconds until the function is killed.
    """

    def __init__(self, remaining: Callable[[], int]) -> None:
        self._remaining = remaining
        self._whole = remaining()

    @property
    def is_half_used(self) -> bool:
        """Whether it is too late for another batch to begin."""
        return 2 * self._remaining() <= self._whole

    @property
    def is_nearly_used(self) -> bool:
        """Whether nine tenths of the time are over; the rest is for a rollback and an error."""
        return 10 * self._remaining() <= self._whole


# For commands, which nobody kills.
UNLIMITED = Allowance(lambda: 1)
