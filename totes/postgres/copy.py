"""COPY in blocks: rows by the thousand cost as little as a few large ones."""

from collections.abc import Iterable

from totes.postgres.driver import PipelineConnection
from totes.runtime.overlap import ahead


def copy_in(connection: PipelineConnection, statement: str, blocks: Iterable[bytes | bytearray]) -> None:
    """Runs `COPY … FROM STDIN` over blocks of bytes, each of which is made while the one before it is sent."""
    connection.execute(statement, stream=ahead(blocks))
