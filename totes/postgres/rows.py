"""The rows that a statement returned."""

from collections import namedtuple
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any


class Rows:
    """The rows that a statement returned. Each is a tuple with its columns as attributes.

    Attributes:
        columns: the columns' names.
        count: how many rows the statement returned or changed.
    """

    def __init__(self, answer: Any) -> None:
        self.columns = tuple(column["name"] for column in answer.columns or ())
        self.count: int = answer.row_count
        self._rows: Sequence[Sequence[Any]] = answer.rows or ()

    def __iter__(self) -> Iterator[Any]:
        return map(_kind_of(self.columns)._make, self._rows)

    def all(self) -> list[Any]:
        """Returns all rows as a list."""
        return list(self)

    def one(self) -> Any:
        """Returns the only row."""
        (row,) = self
        return row

    def one_or_none(self) -> Any:
        """Returns the only row; None if there is none."""
        return self.one() if self._rows else None

    def scalar(self) -> Any:
        """Returns the first value of the first row; None if there is no row."""
        return self._rows[0][0] if self._rows else None

    def scalars(self) -> list[Any]:
        """Returns the first value of each row."""
        return [row[0] for row in self._rows]

    def mappings(self) -> list[dict[str, Any]]:
        """Returns each row as a dictionary by column name, whatever the names are."""
        return [dict(zip(self.columns, row, strict=True)) for row in self._rows]


@lru_cache(maxsize=256)
def _kind_of(columns: tuple[str, ...]) -> Any:
    # A column whose name can't be an attribute can only be read by its position.
    return namedtuple("Row", columns, rename=True)
