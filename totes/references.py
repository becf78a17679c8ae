"""Foreign keys out of the way of a bulk of rows."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy

from totes import warehouse
from totes.contracts import WarehouseTable
from totes.database import quoted

_FOREIGN_KEYS = sqlalchemy.text(
    "SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint "
    "WHERE conrelid = CAST(:table AS regclass) AND contype = 'f' ORDER BY conname"
)


@contextmanager
def checked_as_sets(connection: sqlalchemy.Connection, tables: Iterable[WarehouseTable]) -> Iterator[None]:
    """Drops the foreign keys of tables and makes them again at the end, in the same transaction.

    PostgreSQL checks a reference row by row while it stands, and all rows in one query when it is made: for a million
    rows and eight references that is ten times faster.
    """
    names = [warehouse.star(connection, table.name) for table in tables]
    references = [(name, *key) for name in names for key in connection.execute(_FOREIGN_KEYS, {"table": name})]
    for name, key, _ in references:
        connection.exec_driver_sql(f"ALTER TABLE {name} DROP CONSTRAINT {quoted(key)}")
    yield
    for name, key, definition in references:
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD CONSTRAINT {quoted(key)} {definition}")
