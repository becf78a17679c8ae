"""COPY in blocks: rows by the thousand cost as little as a few large ones."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from totes.postgres.driver import PipelineConnection


def copy_in(connection: PipelineConnection, statement: str, blocks: Iterable[bytes | bytearray]) -> None:
    """Runs `COPY … FROM STDIN` over blocks of bytes, each of which is made while the one before it is sent."""
    connection.execute(statement, stream=_ahead(blocks))


def _ahead(blocks: Iterable[bytes | bytearray]) -> Iterator[bytes | bytearray]:
    with ThreadPoolExecutor(1) as worker:
        iterator = iter(blocks)
        coming = worker.submit(next, iterator, b"")
        while block := coming.result():
            coming = worker.submit(next, iterator, b"")
            yield block
