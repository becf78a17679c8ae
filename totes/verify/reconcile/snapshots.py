"""Both databases, each at one moment and read-only, asked at the same time."""

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

# Rows of a result, whose columns only the statement knows.
Rows = Sequence[Any]


@dataclass(frozen=True)
class Snapshots:
    """One moment of the warehouse, and one of totesys that is no earlier.

    Attributes:
        position: where totesys stands.
        taken_at: the moment of totesys, UTC.
    """

    position: SourcePosition
    taken_at: datetime
    _totesys: PipelineConnection
    _warehouse: Warehouse
    _pool: ThreadPoolExecutor

    @property
    def schemas(self) -> Schemas:
        """Returns where the warehouse is."""
        return self._warehouse.schemas

    def totesys(self, statement: str, **values: object) -> Rows:
        """What totesys answers."""
        return _ask(TOTESYS, self._totesys, statement, values)

    def warehouse(self, statement: str, **values: object) -> Rows:
        """What the warehouse answers."""
        return _ask(WAREHOUSE, self._warehouse.connection, statement, values)

    def both(self, of_totesys: str, of_warehouse: str, **values: object) -> tuple[Rows, Rows]:
        """What both answer, each at work while the other one is."""
        answer = self._pool.submit(self.totesys, of_totesys, **values)
        rows = self.warehouse(of_warehouse, **values)
        return answer.result(), rows


@contextmanager
def snapshots(warehouse: Warehouse, source: "Credentials") -> Iterator[Snapshots]:
    """Opens totesys beside the warehouse.

    Args:
        warehouse: in a transaction that shows one moment. It began earlier, so what it shows can be no later than what
            totesys does.
        source: of totesys.

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
    # Here, and not around both: each database's errors have its own name.
    with database_errors(database):
        return connection.execute(statement, values).all()
