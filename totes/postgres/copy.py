"""Runs COPY in blocks, so that thousands of rows cost as little as a few large ones."""

from collections.abc import Iterable

from totes.postgres.driver import PipelineConnection
from totes.runtime.overlap import ahead


def copy_in(connection: PipelineConnection, statement: str, blocks: Iterable[bytes | bytearray]) -> None:
    """Runs `COPY … FROM STDIN` over blocks of bytes. A thread makes each block while the one before is sent."""
    connection.execute(statement, stream=ahead(blocks))
