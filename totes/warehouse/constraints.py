"""Keys and indexes that are dropped before a bulk of rows and made again after it, in the same transaction.

That keeps readers of the table out until the commit, and for a foreign key also readers of the table to which it
refers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy

from totes.contracts.declarations import WarehouseTable
from totes.postgres.connection import quoted
from totes.warehouse import schema

_FOREIGN_KEYS = sqlalchemy.text(
    "SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint "
    "WHERE conrelid = CAST(:table AS regclass) AND contype = 'f' ORDER BY conname"
)
# Foreign keys aside: the primary key, what is unique, and the indexes that belong to neither.
_INDEXES = sqlalchemy.text(
    "SELECT pg_class.relname AS index_name, pg_get_indexdef(indexrelid) AS index_definition, "
    "conname AS constraint_name, pg_get_constraintdef(pg_constraint.oid) AS definition "
    "FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
    "LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u') "
    "WHERE indrelid = CAST(:table AS regclass) ORDER BY relname"
)


@dataclass(frozen=True)
class Dropping:
    """The statements that drop keys or indexes, and those that make them again."""

    drops: Sequence[str]
    makes: Sequence[str]

    def drop(self, connection: sqlalchemy.Connection) -> None:
        """Drops them all."""
        for statement in self.drops:
            connection.exec_driver_sql(statement)

    def make(self, connection: sqlalchemy.Connection) -> None:
        """Makes them all again."""
        for statement in self.makes:
            connection.exec_driver_sql(statement)


NOTHING = Dropping((), ())


def foreign_keys(connection: sqlalchemy.Connection, tables: Iterable[WarehouseTable]) -> Dropping:
    """Returns how to drop the tables' foreign keys.

    PostgreSQL checks a reference row by row while it stands, and all rows in one query when it is made: for a million
    rows and eight references that is ten times faster.
    """
    names = [schema.star(connection, table.name) for table in tables]
    keys = [(name, *key) for name in names for key in connection.execute(_FOREIGN_KEYS, {"table": name})]
    return Dropping(
        [f"ALTER TABLE {name} DROP CONSTRAINT {quoted(key)}" for name, key, _ in keys],
        [f"ALTER TABLE {name} ADD CONSTRAINT {quoted(key)} {definition}" for name, key, definition in keys],
    )


def indexes(connection: sqlalchemy.Connection, table: WarehouseTable) -> Dropping:
    """Returns how to drop a table's indexes. Made at the end, they are sorted at once."""
    name, stars = schema.star(connection, table.name), schema.place(connection).stars
    drops, makes = [], []
    for index in connection.execute(_INDEXES, {"table": name}):
        if index.constraint_name:
            key = quoted(index.constraint_name)
            drops.append(f"ALTER TABLE {name} DROP CONSTRAINT {key}")
            makes.append(f"ALTER TABLE {name} ADD CONSTRAINT {key} {index.definition}")
        else:
            drops.append(f"DROP INDEX {quoted(stars, index.index_name)}")
            makes.append(index.index_definition)
    return Dropping(drops, makes)
