"""Compares the live warehouse with a replay in the same database, and makes the live one equal to the replay.

Tables, columns and keys are read from the database, so that none can be forgotten.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy
from sqlalchemy.pool import StaticPool

from totes.contracts.declarations import warehouse_tables
from totes.errors import SHOWN
from totes.postgres import locks
from totes.postgres.connection import quoted
from totes.postgres.driver import PipelineConnection
from totes.postgres.statements import sql
from totes.warehouse import constraints, staging
from totes.warehouse.warehouse import Schemas, Warehouse

# No index covers the references to a dimension, so each row that is deleted from one costs a scan of every fact.
TAKEN_OUT_ONE_BY_ONE = 10

# The table and the columns that describe a run of Load, and not totesys.
_VERSIONS = "schema_version"
_OF_THE_RUN = ("loaded_at", "execution")


@dataclass(frozen=True)
class Rows:
    """The number of rows of a kind, and the keys of the first ones: the key columns' values by name."""

    rows: int
    first: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True)
class Divergence:
    """The comparison of a table.

    Attributes:
        replayed, live: the number of rows in each.
        missing: rows that only the replay has.
        extra: rows that only the live warehouse has.
        differing: rows that both have, with different values.
        columns: in how many of the differing rows each column differs.
    """

    table: str
    replayed: int
    live: int
    missing: Rows
    extra: Rows
    differing: Rows
    columns: Mapping[str, int] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        return not (self.missing.rows or self.extra.rows or self.differing.rows)


@dataclass(frozen=True)
class Table:
    """A table that both have.

    Attributes:
        name: the table's name, with the schema in front if it is none of the stars.
        live, replayed: the table in each, as an SQL identifier.
        key: the columns of its primary key.
        names: the columns by which a person recognises a row.
        values: the columns that must be the same.
        columns: all columns.
    """

    name: str
    live: str
    replayed: str
    key: Sequence[str]
    names: Sequence[str]
    values: Sequence[str]
    columns: Sequence[str]

    def compare(self, connection: PipelineConnection) -> Divergence:
        """Compares all its rows."""
        (counts,) = connection.execute(self._statement("count_apart")).mappings()
        differing = {column: counts[_apart(column)] for column in self.values if counts[_apart(column)]}
        # This also counts a row that is there twice, which a missing primary key allows.
        extra = counts["live_rows"] - counts["replayed_rows"] + counts["missing"]
        return Divergence(
            self.name,
            counts["replayed_rows"],
            counts["live_rows"],
            self._named(connection, counts["missing"], "live.ctid IS NULL"),
            self._named(connection, extra, "replayed.ctid IS NULL"),
            self._named(connection, counts["differing"], f"{_BOTH} AND {self._values_apart}"),
            differing,
        )

    def put_in(self, connection: PipelineConnection) -> None:
        """Inserts and updates rows of the live table, so that it has all rows of the replay."""
        connection.execute(self._statement("insert_missing"))
        connection.execute(self._statement("update_changed"))

    def take_out(self, connection: PipelineConnection) -> None:
        """Deletes the live table's rows that the replay does not have."""
        connection.execute(self._statement("delete_extra"))

    def _named(self, connection: PipelineConnection, rows: int, kind: str) -> Rows:
        if not rows:
            return Rows(0)
        named = connection.execute(self._statement("name_apart", kind=kind), {"shown": SHOWN})
        return Rows(rows, [dict(zip(self.names, keys, strict=True)) for keys in named])

    @property
    def _values_apart(self) -> str:
        replayed, live = (", ".join(quoted(side, name) for name in self.values) for side in ("replayed", "live"))
        return f"ROW ({replayed}) IS DISTINCT FROM ROW ({live})"

    def _statement(self, name: str, **more: str) -> str:
        return sql("verify/replay", name).format(
            live=self.live,
            replayed=self.replayed,
            same_key=" AND ".join(f"{quoted('replayed', column)} = {quoted('live', column)}" for column in self.key),
            apart=self._values_apart,
            both=_BOTH,
            columns_apart=", ".join(
                f"count(*) FILTER (WHERE {_BOTH} AND {quoted('replayed', column)} IS DISTINCT FROM "
                f"{quoted('live', column)}) AS {quoted(_apart(column))}"
                for column in self.values
            ),
            names=", ".join(f"coalesce({quoted('replayed', name)}, {quoted('live', name)})" for name in self.names),
            columns=", ".join(map(quoted, self.columns)),
            assignments=", ".join(f"{quoted(column)} = {quoted('replayed', column)}" for column in self.values),
            **more,
        )


_BOTH = "live.ctid IS NOT NULL AND replayed.ctid IS NOT NULL"


def tables(replayed: Warehouse, live: Schemas) -> list[Table]:
    """Returns the tables of a replay, each after those that it refers to."""
    found = sqlalchemy.MetaData()
    engine = sqlalchemy.create_engine(
        "postgresql+pg8000://", creator=lambda: replayed.connection, poolclass=StaticPool, pool_reset_on_return=None
    )
    with engine.connect() as connection:
        for name in (replayed.schemas.log, replayed.schemas.stars):
            found.reflect(connection, schema=name)
    schemas = {replayed.schemas.stars: live.stars, replayed.schemas.log: live.log}
    return [_table(table, schemas[table.schema or ""]) for table in found.sorted_tables if table.name != _VERSIONS]


def move(live: Warehouse, pairs: Sequence[Table], found: Iterable[Divergence]) -> None:
    """Makes the live warehouse equal to the replay. Equal rows are not touched.

    Readers don't wait, and see no change before the commit. They wait only if so much differs that the facts'
    references are dropped meanwhile.

    Args:
        found: the comparison, which may be slightly out of date: it only decides whether to drop the references.
    """
    facts = [table for table in warehouse_tables().values() if table.is_fact]
    keys = constraints.foreign_keys(live, facts if _is_bulk(found) else ())
    locks.change_when_free(live.connection, lambda: keys.drop(live))
    for pair in pairs:
        pair.put_in(live.connection)
    for pair in reversed(pairs):
        pair.take_out(live.connection)
    keys.make(live)


def _is_bulk(found: Iterable[Divergence]) -> bool:
    stars = [table for table in found if table.table in warehouse_tables()]
    put_in = sum(table.missing.rows + table.differing.rows for table in stars)
    taken_out = sum(table.extra.rows for table in stars if not warehouse_tables()[table.table].is_fact)
    return put_in >= staging.BULK_ROWS or taken_out > TAKEN_OUT_ONE_BY_ONE


def _table(replayed: sqlalchemy.Table, live_schema: str) -> Table:
    declared = warehouse_tables().get(replayed.name)
    columns = [column.name for column in replayed.columns]
    key = [column.name for column in replayed.primary_key.columns]
    left_out = key if declared else [*key, *_OF_THE_RUN]
    return Table(
        name=replayed.name if declared else f"{live_schema}.{replayed.name}",
        live=quoted(live_schema, replayed.name),
        replayed=quoted(replayed.schema or "", replayed.name),
        key=key,
        names=list(dict.fromkeys([*key, declared.identity] if declared else key)),
        # SQL can't compare rows without columns.
        values=[column for column in columns if column not in left_out] or key,
        columns=columns,
    )


def _apart(column: str) -> str:
    return f"{column} apart"
