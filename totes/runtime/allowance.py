"""Says how much of its time a function may use for batches."""

from collections.abc import Callable


class Allowance:
    """The time that a function has left when this object is made.

    A batch has to end in the time that is left. So no batch begins in the second half: the first batch has the whole
    time, and each later one at least half of it.

    Args:
        remaining: returns the milliseconds until the function is killed.
    """

    def __init__(self, remaining: Callable[[], int]) -> None:
        self._remaining = remaining
        self._whole = remaining()

    @property
    def is_half_used(self) -> bool:
        """Returns whether it is too late to begin another batch."""
        return 2 * self._remaining() <= self._whole

    @property
    def is_nearly_used(self) -> bool:
        """Returns whether nine tenths of the time are over; the rest is for a rollback and an error."""
        return 10 * self._remaining() <= self._whole


# For commands, which have no time limit.
UNLIMITED = Allowance(lambda: 1)
