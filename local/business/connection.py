"""The types of pg8000's DBAPI connection that local.business uses; pg8000 ships no types."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """A DBAPI cursor whose `execute` also streams the bytes of a COPY."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, operation: str, args: Sequence[object] = (), stream: Iterable[bytes] | None = None) -> object: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> Any: ...

    def close(self) -> None: ...


class Connection(Protocol):
    """A DBAPI connection with autocommit off."""

    def cursor(self) -> Cursor: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...
