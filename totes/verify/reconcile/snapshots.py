"""Both databases, each at one moment and read-only, asked at the same time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy

from cli.deployment import warehouse
from totes.postgres.connection import TOTESYS, WAREHOUSE, Database, connected, database_errors
from totes.postgres.position import SourcePosition
from totes.runtime.secrets import read_credentials
from totes.source.snapshot import snapshot

if TYPE_CHECKING:
    from totes.runtime.names import Names

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
    _totesys: sqlalchemy.Connection
    _warehouse: sqlalchemy.Connection
    _pool: ThreadPoolExecutor

    def totesys(self, statement: sqlalchemy.TextClause, **values: object) -> Rows:
        """What totesys answers."""
        return _ask(TOTESYS, self._totesys, statement, values)

    def warehouse(self, statement: sqlalchemy.TextClause, **values: object) -> Rows:
        """What the warehouse answers."""
        return _ask(WAREHOUSE, self._warehouse, statement, values)

    def both(
        self, of_totesys: sqlalchemy.TextClause, of_warehouse: sqlalchemy.TextClause, **values: object
    ) -> tuple[Rows, Rows]:
        """What both answer, each at work while the other one is."""
        answer = self._pool.submit(self.totesys, of_totesys, **values)
        rows = self.warehouse(of_warehouse, **values)
        return answer.result(), rows


@contextmanager
def snapshots(names: "Names") -> Iterator[Snapshots]:
    """Opens both. The warehouse comes first: what it shows can then be no later than what totesys does.

    Raises:
        WarehouseEmpty: nothing has ever been loaded.
        ContractBroken: totesys is not as declared.
        SourceUnreachable, WarehouseUnreachable, AccessRefused: one can't be connected to.
    """
    credentials = read_credentials(names.source_secret)
    with (
        warehouse(names) as loaded,
        connected(TOTESYS, credentials, "totes-console") as source,
        snapshot(source) as taken,
        ThreadPoolExecutor(1) as pool,
    ):
        yield Snapshots(taken.position, taken.taken_at, source, loaded, pool)


def _ask(
    database: Database, connection: sqlalchemy.Connection, statement: sqlalchemy.TextClause, values: dict[str, object]
) -> Rows:
    # Here, and not around both: each database's errors have its own name.
    with database_errors(database):
        return connection.execute(statement, values).all()
