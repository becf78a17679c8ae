"""COPY in blocks: rows by the thousand cost as little as a few large ones."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from totes.postgres.driver import PipelineConnection


class Sink(Protocol):
    """What takes the bytes of a `COPY … TO STDOUT`: any number of whole rows at a time."""

    def write(self, rows: bytes, /) -> object: ...


def copy_out(connection: PipelineConnection, statement: str, sink: Sink) -> None:
    """Runs `COPY … TO STDOUT`."""
    connection.execute(statement, stream=sink)


def copy_in(connection: PipelineConnection, statement: str, blocks: Iterable[bytes]) -> None:
    """Runs `COPY … FROM STDIN` over blocks of bytes, each of which is made while the one before it is sent."""
    connection.execute(statement, stream=_ahead(blocks))


def _ahead(blocks: Iterable[bytes]) -> Iterator[bytes]:
    with ThreadPoolExecutor(1) as worker:
        iterator = iter(blocks)
        coming = worker.submit(next, iterator, b"")
        while block := coming.result():
            coming = worker.submit(next, iterator, b"")
            yield block
