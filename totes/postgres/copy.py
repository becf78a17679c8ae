"""COPY in blocks: rows by the thousand cost as little as a few large ones."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Protocol

import sqlalchemy


class Sink(Protocol):
    """What takes the bytes of a `COPY … TO STDOUT`: any number of whole rows at a time."""

    def write(self, rows: bytes, /) -> object: ...


def copy_out(connection: sqlalchemy.Connection, statement: str, sink: Sink) -> None:
    """Runs `COPY … TO STDOUT`."""
    _copy(connection, statement, sink)


def copy_in(connection: sqlalchemy.Connection, statement: str, blocks: Iterable[bytes]) -> None:
    """Runs `COPY … FROM STDIN` over blocks of bytes, each of which is made while the one before it is sent."""
    _copy(connection, statement, _ahead(blocks))


def _ahead(blocks: Iterable[bytes]) -> Iterator[bytes]:
    with ThreadPoolExecutor(1) as worker:
        iterator = iter(blocks)
        coming = worker.submit(next, iterator, b"")
        while block := coming.result():
            coming = worker.submit(next, iterator, b"")
            yield block


def _copy(connection: sqlalchemy.Connection, statement: str, stream: object) -> None:
    driver: Any = connection.connection
    try:
        with closing(driver.cursor()) as cursor:
            cursor.execute(statement, stream=stream)
    except BaseException:
        # The protocol may be in the middle of the copy; no further statement could be told from its data.
        connection.invalidate()
        raise
