"""Small batches in a row are done together: they share requests, a transaction, and its round trips."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from totes.errors import ContractViolation, TerminalError
from totes.runtime.allowance import Allowance
from totes.runtime.log import logger

# So many batches at most, with so many rows: about a second's work.
MOST_TOGETHER, MOST_ROWS = 50, 10_000


class Sized(Protocol):
    """A batch, as far as it matters here; `size` is how many rows its objects have."""

    @property
    def size(self) -> int: ...

    @property
    def is_of_backfill(self) -> bool: ...


Batch = TypeVar("Batch", bound=Sized)
Result = TypeVar("Result")


class Together:
    """Does pending batches: small ones together, the others one by one.

    If one of several can't be done, they are done again one by one: those before it don't wait for it.

    Args:
        most_rows, most: how many rows, and how many batches, may be done together.
        is_of_one: returns whether an error may be that of one batch alone, and stays.
    """

    def __init__(
        self,
        allowance: Allowance,
        most_rows: int = MOST_ROWS,
        most: int = MOST_TOGETHER,
        is_of_one: Callable[[Exception], bool] = lambda error: isinstance(error, (TerminalError, ContractViolation)),
    ) -> None:
        self._allowance = allowance
        self._most_rows = most_rows
        self._most = most
        self._is_of_one = is_of_one
        self._alone_through = 0

    def do(
        self,
        pending: Sequence[int],
        read: Callable[[Sequence[int]], Iterable[Batch]],
        work: Callable[[Sequence[Batch]], Result],
    ) -> Result:
        """Does the first of some pending batches, and those after it that are small enough.

        Args:
            read: returns batches.
            work: does some of them, all or none.

        Raises:
            Exception: the first batch can't be done, or something else is wrong that may be gone in a moment.
        """
        numbers = pending[: self._most if pending[0] > self._alone_through else 1]
        batches: Sequence[Batch] = ()
        try:
            batches = self._small(read(numbers))
            return work(batches)
        except Exception as error:
            if len(batches or numbers) == 1 or not self._is_of_one(error):
                raise
            logger.info("done again one by one", first=numbers[0], last=numbers[-1], because=str(error))
        self._alone_through = numbers[-1]
        return self.do(pending, read, work)

    def _small(self, batches: Iterable[Batch]) -> list[Batch]:
        """Returns the first batch and those after it that are small. Each of a backfill's is done by itself.

        For each further batch there has to be time, as if it began alone.
        """
        taken: list[Batch] = []
        rows = 0
        for batch in batches:
            rows += batch.size
            if taken and (rows > self._most_rows or batch.is_of_backfill or self._allowance.is_half_used):
                break
            taken.append(batch)
            if batch.is_of_backfill:
                break
        return taken
