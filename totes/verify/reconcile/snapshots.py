"""Queries both databases at the same time, each read-only and as of one moment."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from totes.postgres.connection import TOTESYS, WAREHOUSE, Database, connected
from totes.postgres.driver import PipelineConnection
from totes.postgres.position import SourcePosition
from totes.postgres.server_errors import database_errors
from totes.source.snapshot import snapshot
from totes.warehouse.warehouse import Schemas, Warehouse

if TYPE_CHECKING:
    from totes.runtime.secrets import Credentials

# A result's rows; their columns depend on the statement.
Rows = Sequence[Any]


@dataclass(frozen=True)
class Snapshots:
    """A snapshot of the warehouse, and one of totesys that is no earlier.

    Attributes:
        position: the position of totesys.
        taken_at: the moment of the snapshot of totesys, UTC.
    """

    position: SourcePosition
    taken_at: datetime
    _totesys: PipelineConnection
    _warehouse: Warehouse
    _pool: ThreadPoolExecutor

    @property
    def schemas(self) -> Schemas:
        """Returns the warehouse's schemas."""
        return self._warehouse.schemas

    def totesys(self, statement: str, **values: object) -> Rows:
        """Returns the rows of a query to totesys."""
        return _ask(TOTESYS, self._totesys, statement, values)

    def warehouse(self, statement: str, **values: object) -> Rows:
        """Returns the rows of a query to the warehouse."""
        return _ask(WAREHOUSE, self._warehouse.connection, statement, values)

    def both(self, of_totesys: str, of_warehouse: str, **values: object) -> tuple[Rows, Rows]:
        """Returns the rows of two queries, which run at the same time."""
        answer = self._pool.submit(self.totesys, of_totesys, **values)
        rows = self.warehouse(of_warehouse, **values)
        return answer.result(), rows


@contextmanager
def snapshots(warehouse: Warehouse, source: "Credentials") -> Iterator[Snapshots]:
    """Takes a snapshot of totesys, and yields it with the warehouse's.

    Args:
        warehouse: in a transaction that shows one moment. The transaction has begun, so its snapshot is no later than
            that of totesys.
        source: the credentials of totesys.

    Raises:
        ContractViolation: totesys is not as declared.
        SourceUnreachable, AccessDenied: totesys can't be connected to.
    """
    with (
        connected(TOTESYS, source, "totes-console") as connection,
        snapshot(connection) as taken,
        ThreadPoolExecutor(1) as pool,
    ):
        yield Snapshots(taken.position, taken.taken_at, connection, warehouse, pool)


def _ask(database: Database, connection: PipelineConnection, statement: str, values: dict[str, object]) -> Rows:
    # Not around both queries: each database has its own error classes.
    with database_errors(database):
        return connection.execute(statement, values).all()
