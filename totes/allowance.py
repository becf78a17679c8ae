"""How much of its time a function may use for batches."""

from collections.abc import Callable


class Allowance:
    """The time that a function has, counted from the moment at which this is made.

    A batch may take all the time that is left when it begins. So no batch begins in the second half: each one has at
    least half of the function's time, and the first one all of it.

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
        """Whether nine tenths of the time are over; what is left is for a rollback and an error."""
        return 10 * self._remaining() <= self._whole


# Of commands, which nobody kills.
UNLIMITED = Allowance(lambda: 1)
