"""Does small consecutive batches together, so that they share requests, a transaction, and its round trips."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from totes.errors import ContractViolation, TerminalError
from totes.runtime.allowance import Allowance
from totes.runtime.log import logger

# At most this many batches and this many rows are done together: about a second's work.
MOST_TOGETHER, MOST_ROWS = 50, 10_000


class Sized(Protocol):
    """A batch with a size: how many rows its objects have."""

    @property
    def size(self) -> int: ...

    @property
    def is_of_backfill(self) -> bool: ...


Batch = TypeVar("Batch", bound=Sized)
Result = TypeVar("Result")


class Together:
    """Does pending batches: small ones together, the others one by one.

    If one of several batches fails, all are done again one by one, so it doesn't hold up those before it.

    Args:
        most_rows, most: how many rows, and how many batches, may be done together.
        is_of_one: returns whether an error may come from a single batch, and would come again.
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
        """Does the first pending batch, and the next ones if they are small enough.

        Args:
            read: returns the batches with these numbers.
            work: does all of the given batches, or none.

        Raises:
            Exception: the first batch can't be done, or the error concerns no single batch and may be transient.
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
        """Returns the first batch and the small ones after it. A backfill's batch is always done alone.

        It adds a batch only while less than half of the time is used, as if that batch began alone.
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
