"""From the lake into the warehouse: staging, and the statements that move staged rows into a star.

Facts and dimensions are both loaded by difference, so that a row which comes again changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pg8000.dbapi
import pyarrow as pa

from totes.contracts.declarations import Column, WarehouseTable
from totes.lake.parquet import batches
from totes.postgres import binary_copy, locks
from totes.postgres.connection import quoted
from totes.postgres.copy import copy_in
from totes.postgres.rows import Rows
from totes.postgres.server_errors import DEPENDED_UPON, sqlstate
from totes.runtime.log import logger
from totes.warehouse import constraints, rules
from totes.warehouse.encodings import named_in_warehouse
from totes.warehouse.warehouse import Warehouse

# From so many rows on, and from such a share of the rows that are there, it pays to set the foreign keys aside.
BULK_ROWS = 10_000
BULK_SHARE = 0.25
# Above this many rows, a check row by row would take longer than a statement may.
MOST_ROW_BY_ROW = 1_000_000
_NOT_REFERENCED = "23503"
_ASIDE = (
    Column("business_id", "bigint", "The key in totesys."),
    Column("reason", "text", "What is wrong."),
    Column("row", "text", "The row as JSON."),
)


@dataclass(frozen=True)
class Loaded:
    """What a batch did to a table.

    Attributes:
        staged: rows that the batch brought.
        inserted: rows of these that were new; of a fact, versions that were added.
        updated: rows of a dimension that changed.
        deleted: tombstones.
        first, last: of a fact, the range of record ids that were given out.
    """

    staged: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    first: int | None = None
    last: int | None = None


def stage(warehouse: Warehouse, table: WarehouseTable, path: Path) -> int:
    """Copies a file of rows into a temporary table that ends with the transaction; returns how many there were.

    Raises:
        ContractViolation: two rows have one key, or a value is not accepted.
    """
    seen = rules.StagedRows(table, path.parent)
    rows = _staged(warehouse, _stage(table), table.data_columns, path, seen.see)
    seen.check()
    return rows


def stage_deleted(warehouse: Warehouse, table: WarehouseTable, path: Path) -> int:
    """The same for a file of deleted keys."""
    return _staged(warehouse, _deleted(table), (table.column(table.identity),), path)


def note_quarantine(warehouse: Warehouse, source: str, path: Path, batch: int) -> None:
    """Brings the warehouse's quarantine of a table of totesys to what a file says is quarantined."""
    aside = quoted("pg_temp", f"aside_{source}")
    _staged(warehouse, aside, _ASIDE, path)
    for name in ("release", "quarantine"):
        warehouse.execute(name, {"name": source, "batch": batch}, aside=aside)
    warehouse.run(f"DROP TABLE {aside}")


def copy_into_empty(warehouse: Warehouse, fact: WarehouseTable, path: Path) -> Loaded | None:
    """Copies a file straight into a fact that is empty, where all rows are first versions.

    Returns:
        None if nothing was copied and the caller has to stage the rows instead. Either a row refers to nothing, which
        staging reports; or somebody uses the tables or depends on a key, and staging leaves keys and indexes alone.

    Raises:
        ContractViolation: two rows have one key, or a value is not accepted.
    """
    seen = rules.StagedRows(fact, path.parent)
    keys, indexes = constraints.foreign_keys(warehouse, [fact]), constraints.indexes(warehouse, fact)
    try:
        with warehouse.connection.savepoint():
            if not _dropped(warehouse, fact, keys, indexes):
                return None
            rows = _copied(warehouse, warehouse.star(fact.name), fact.data_columns, path, seen.see)
            seen.check()
            indexes.make(warehouse)
            keys.make(warehouse)
    except pg8000.dbapi.DatabaseError as error:
        if sqlstate(error) in (_NOT_REFERENCED, DEPENDED_UPON):
            return None
        raise
    row = _execute(warehouse, "range", fact).one()
    return Loaded(rows, inserted=rows, first=row.first, last=row.last)


def is_to_be_filled(warehouse: Warehouse, fact: WarehouseTable, rows: int) -> bool:
    """Whether so many rows of a fact are worth the shorter way, and nothing forbids it."""
    return rows >= BULK_ROWS and not _execute(warehouse, "any_row", fact).scalar()


def insert_versions(warehouse: Warehouse, fact: WarehouseTable, staged: int) -> Loaded:
    """Adds the staged rows that differ from the latest version of their business id, or have none that is alive."""
    known = _execute(warehouse, "discard_known", fact, {"fact": fact.name}).count
    with _moved(warehouse, fact):
        keys = _bulk_keys(warehouse, fact, staged - known)
        row = _execute(warehouse, "insert_versions", fact).one()
        keys.make(warehouse)
    return Loaded(staged, inserted=row.inserted, first=row.first, last=row.last)


def upsert(warehouse: Warehouse, dimension: WarehouseTable, staged: int, batch: int) -> Loaded:
    """Inserts staged rows that are new, updates those that differ, and ends the tombstones of those that came back."""
    with _moved(warehouse, dimension):
        row = _execute(warehouse, "upsert", dimension).one()
        if dimension.source:  # the calendar has none, and loses no day
            _execute(warehouse, "end_tombstones", dimension, {"name": dimension.name, "batch": batch})
    return Loaded(staged, inserted=row.inserted, updated=row.updated)


def add_tombstones(warehouse: Warehouse, table: WarehouseTable, batch: int) -> None:
    """Writes a tombstone for each staged deleted key: what was loaded stays, and is known to be gone."""
    name = "add_tombstones_of_versions" if table.is_fact else "add_tombstones"
    _execute(warehouse, name, table, {"name": table.name, "batch": batch})
    warehouse.run(f"DROP TABLE {_deleted(table)}")


@contextmanager
def _moved(warehouse: Warehouse, table: WarehouseTable) -> Iterator[None]:
    """Ends the staging of a table; where a row can't be moved, because it refers to nothing, tells which."""
    try:
        with warehouse.connection.savepoint():
            yield
    except pg8000.dbapi.DatabaseError as error:
        if sqlstate(error) == _NOT_REFERENCED:
            rules.check_references(warehouse, table, _stage(table))
        raise
    warehouse.run(f"DROP TABLE {_stage(table)}")


def _bulk_keys(warehouse: Warehouse, fact: WarehouseTable, news: int) -> constraints.Dropping:
    """Drops the fact's foreign keys if that pays for so many new rows, and returns what it has dropped.

    A batch that is small, or small beside the existing rows, leaves the keys alone, and so the tables' readers.
    """
    present = {"table": warehouse.star(fact.name)}
    if news < BULK_ROWS or news < warehouse.scalar("rows_present", present) * BULK_SHARE:
        return constraints.NOTHING
    keys = constraints.foreign_keys(warehouse, [fact])
    if news > MOST_ROW_BY_ROW:
        locks.change_when_free(warehouse.connection, lambda: keys.drop(warehouse))
    elif not _dropped(warehouse, fact, keys):
        return constraints.NOTHING
    return keys


def _dropped(warehouse: Warehouse, fact: WarehouseTable, *what: constraints.Dropping) -> bool:
    """Drops keys and indexes of a fact; returns False, and drops none, if somebody uses one of the tables."""

    def drop() -> None:
        for one in what:
            one.drop(warehouse)

    dropped = locks.change_at_once(warehouse.connection, drop)
    if not dropped:
        logger.info("in use, so its keys are checked row by row", table=fact.name)
    return dropped


def _staged(
    warehouse: Warehouse,
    staging: str,
    columns: tuple[Column, ...],
    path: Path,
    see: Callable[[pa.RecordBatch], None] = lambda _rows: None,
) -> int:
    definitions = ", ".join(f"{quoted(column.name)} {column.type}" for column in columns)
    warehouse.run(f"CREATE TEMPORARY TABLE {staging} ({definitions}) ON COMMIT DROP")
    rows = _copied(warehouse, staging, columns, path, see)
    warehouse.run(f"ANALYZE {staging}")
    return rows


def _copied(
    warehouse: Warehouse,
    table: str,
    columns: tuple[Column, ...],
    path: Path,
    see: Callable[[pa.RecordBatch], None],
) -> int:
    names = ", ".join(quoted(column.name) for column in columns)
    rows = _Rows(path, columns, see)
    with named_in_warehouse(path, columns):
        copy_in(warehouse.connection, f"COPY {table} ({names}) FROM STDIN (FORMAT binary)", rows.blocks())
    return rows.count


class _Rows:
    """A Parquet file as the blocks that a binary COPY reads."""

    def __init__(self, path: Path, columns: tuple[Column, ...], see: Callable[[pa.RecordBatch], None]) -> None:
        self._path = path
        self._columns = columns
        self._see = see
        self.count = 0

    def blocks(self) -> Iterator[bytes | bytearray]:
        yield binary_copy.HEADER
        for batch in batches(self._path):
            self.count += batch.num_rows
            self._see(batch)
            yield from binary_copy.blocks(self._complete(batch), self._columns)
        yield binary_copy.TRAILER

    def _complete(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with all columns: one that was written before a column came has its default, or NULL."""
        present = dict(zip(batch.schema.names, batch.columns, strict=True))
        return pa.RecordBatch.from_arrays(
            [
                present[column.name] if column.name in present else pa.array([column.default] * len(batch), pa.string())
                for column in self._columns
            ],
            names=[column.name for column in self._columns],
        )


def _execute(
    warehouse: Warehouse, name: str, table: WarehouseTable, values: Mapping[str, object] | None = None
) -> Rows:
    """Runs a statement about a table, its staged rows or its staged deleted keys."""
    names = [column.name for column in table.data_columns]
    # SQL can't compare rows without columns. If every column is a part of the key, nothing else can differ.
    others = [name for name in names if name != table.identity] or names
    return warehouse.execute(
        name,
        values,
        table=warehouse.star(table.name),
        staging=_stage(table),
        deleted=_deleted(table),
        key=quoted(table.key),
        identity=quoted(table.identity),
        columns=", ".join(map(quoted, names)),
        staged_columns=", ".join(quoted("staged", name) for name in names),
        staged_values=", ".join(quoted("staged", name) for name in others),
        latest_values=", ".join(quoted("latest", name) for name in others),
        present_values=", ".join(quoted("present", name) for name in others),
        excluded_values=", ".join(quoted("excluded", name) for name in others),
        assignments=", ".join(f"{quoted(name)} = {quoted('excluded', name)}" for name in others),
    )


def _stage(table: WarehouseTable) -> str:
    return quoted("pg_temp", f"staged_{table.name}")


def _deleted(table: WarehouseTable) -> str:
    return quoted("pg_temp", f"deleted_{table.name}")
