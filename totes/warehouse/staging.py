"""Stages rows of the lake in the warehouse, and moves staged rows into a star.

The rows of several batches are staged together, each with its batch's number, and moved batch by batch. Load compares
facts and dimensions with the rows that are there, so a row that comes again changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pg8000.dbapi
import pyarrow as pa
from pg8000.converters import literal

from totes.contracts.declarations import Column, WarehouseTable, warehouse_tables
from totes.lake.parquet import batches
from totes.postgres import binary_copy, locks
from totes.postgres.connection import quoted
from totes.postgres.copy import copy_in
from totes.postgres.server_errors import DEPENDED_UPON, sqlstate
from totes.runtime.log import about, logger
from totes.warehouse import constraints, rules
from totes.warehouse.encodings import named_in_warehouse
from totes.warehouse.warehouse import Warehouse

# With at least this many new rows, and this share of the existing rows, it pays to drop the foreign keys meanwhile.
BULK_ROWS = 10_000
BULK_SHARE = 0.25
# With more rows than this, a check row by row would exceed the statement time-out.
MOST_ROW_BY_ROW = 1_000_000
_NOT_REFERENCED = "23503"
_SAVEPOINT = "before_rows_that_refer"
# No declared column has such a name.
_BATCH = Column("_batch", "integer", "The batch that brought the row.")
_ASIDE = (
    Column("business_id", "bigint", "The key in totesys."),
    Column("reason", "text", "What is wrong."),
    Column("row", "text", "The row as JSON."),
)
_STAGINGS = {"data": "staged", "deleted": "deleted", "aside": "aside"}


class Part(NamedTuple):
    """A table's part in batches: `data`, `deleted` keys, or for a table of totesys `aside`, its quarantined rows."""

    table: str
    name: str

    @property
    def staging(self) -> str:
        """Returns the temporary table for the part's rows, as an SQL identifier."""
        return quoted("pg_temp", f"{_STAGINGS[self.name]}_{self.table}")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Returns the columns of the part's files."""
        if self.name == "aside":
            return _ASIDE
        table = warehouse_tables()[self.table]
        return table.data_columns if self.name == "data" else (table.column(table.identity),)


@dataclass(frozen=True)
class Loaded:
    """The effect of a batch on a table.

    Attributes:
        staged: how many rows the batch brought.
        inserted: how many of these were new; for a fact, how many versions were added.
        updated: how many rows of a dimension changed.
        deleted: how many tombstones the batch brought.
        first, last: for a fact, the range of record ids that were given out.
    """

    staged: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    first: int | None = None
    last: int | None = None


def stage(warehouse: Warehouse, files: Mapping[Part, Mapping[int, Path]]) -> dict[Part, dict[int, int]]:
    """Copies files of rows into temporary tables, which PostgreSQL drops at the end of the transaction.

    Args:
        files: each part's files, by batch.

    Returns:
        how many rows each file has.

    Raises:
        ContractViolation: two rows of a file have the same key, or a value is not accepted.
    """
    _run(warehouse, [_creation(part) for part in files])
    staged = {part: _staged(warehouse, part, of_part) for part, of_part in files.items()}
    _run(warehouse, [f"ANALYZE {part.staging}" for part in files])
    return staged


def unstage(warehouse: Warehouse, parts: Iterable[Part]) -> None:
    """Drops the temporary tables of some parts, so that the same transaction can stage more rows."""
    _run(warehouse, [f"DROP TABLE {part.staging}" for part in parts])


class Move:
    """Moves a batch's staged rows into the stars. All but facts with many rows take a single round trip."""

    def __init__(self, warehouse: Warehouse, batch: int) -> None:
        self._warehouse = warehouse
        self._batch = batch
        self._statements: list[str] = []
        self._tables: list[WarehouseTable] = []
        self._done: dict[str, Loaded] = {}

    def add(self, statement: str) -> None:
        """Adds a statement that returns nothing."""
        self._statements.append(statement)

    def add_rows(self, table: WarehouseTable) -> None:
        """Adds the staged rows of a table.

        For a fact, it adds each row that differs from the latest version of its business id, or that has no version
        without a tombstone. For a dimension, it inserts new rows, updates those that differ, and ends the tombstones of
        rows that came back.
        """
        if table.is_fact:
            names = ["discard_known", "insert_versions"]
        else:
            # The calendar has no source, and loses no day.
            names = ["upsert", "end_tombstones"] if table.source else ["upsert"]
        self._tables.append(table)
        # If a row refers to nothing, the earlier tables' rows stay, so that they can be checked for references.
        self.add(f"SAVEPOINT {_SAVEPOINT}")
        for name in names:
            self.add(_statement(self._warehouse, name, table, self._batch))
        self.add(f"RELEASE SAVEPOINT {_SAVEPOINT}")

    def add_many(self, fact: WarehouseTable, path: Path) -> int:
        """Runs the statements added so far, then loads a file with many rows of a fact, which are not staged yet.

        Returns:
            how many rows the file has.

        Raises:
            ContractViolation: two rows have the same key, a value is not accepted, or rows refer to nothing.
        """
        self._run()
        loaded = _load_many(self._warehouse, fact, self._batch, path)
        self._done[fact.name] = loaded
        return loaded.staged

    def add_tombstones(self, table: WarehouseTable) -> None:
        """Adds a tombstone for each staged deleted key. The loaded rows stay, marked as gone."""
        name = "add_tombstones_of_versions" if table.is_fact else "add_tombstones"
        self.add(_statement(self._warehouse, name, table, self._batch))

    def add_quarantine(self, source: str) -> None:
        """Makes the warehouse's quarantine of a table of totesys equal to the staged rows."""
        names = {"name": literal(source), "batch": str(self._batch), "aside": Part(source, "aside").staging}
        for name in ("release", "quarantine"):
            self.add(self._warehouse.statement(name, **names))

    def end(self) -> Mapping[str, Loaded]:
        """Runs the remaining statements; returns the effect on each table whose rows were moved.

        Raises:
            ContractViolation: rows refer to nothing.
        """
        self._run()
        return self._done

    def _run(self) -> None:
        try:
            rows = _run(self._warehouse, self._statements)
        except pg8000.dbapi.DatabaseError as error:
            if sqlstate(error) == _NOT_REFERENCED:
                self._warehouse.run(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
                _check_references(self._warehouse, self._tables)
            raise
        for row in rows:
            self._done[row.table_name] = Loaded(
                inserted=row.inserted, updated=row.updated, first=row.first, last=row.last
            )
        self._statements, self._tables = [], []


def _load_many(warehouse: Warehouse, fact: WarehouseTable, batch: int, path: Path) -> Loaded:
    """Loads many rows of a fact: straight into the table if it is empty, else by way of staging."""
    if not warehouse.scalar("any_row", table=warehouse.star(fact.name)) and (
        filled := copy_into_empty(warehouse, fact, path)
    ):
        return filled
    part = Part(fact.name, "data")
    staged = stage(warehouse, {part: {batch: path}})[part][batch]
    known = warehouse.connection.execute(_statement(warehouse, "discard_known", fact, batch)).count
    try:
        with warehouse.connection.savepoint():
            keys = _bulk_keys(warehouse, fact, staged - known)
            row = warehouse.connection.execute(_statement(warehouse, "insert_versions", fact, batch)).one()
            keys.make(warehouse)
    except pg8000.dbapi.DatabaseError as error:
        if sqlstate(error) == _NOT_REFERENCED:
            _check_references(warehouse, [fact])
        raise
    unstage(warehouse, [part])
    return Loaded(staged, inserted=row.inserted, first=row.first, last=row.last)


def copy_into_empty(warehouse: Warehouse, fact: WarehouseTable, path: Path) -> Loaded | None:
    """Copies a file straight into an empty fact, in which all rows are first versions.

    Returns:
        None if nothing was copied and the caller must stage the rows instead. Either a row refers to nothing, which
        staging reports; or somebody uses the tables or depends on a key, and staging leaves keys and indexes alone.

    Raises:
        ContractViolation: two rows have the same key, or a value is not accepted.
    """
    seen = rules.StagedRows(fact, path.parent)
    keys, indexes = constraints.foreign_keys(warehouse, [fact]), constraints.indexes(warehouse, fact)
    try:
        with warehouse.connection.savepoint():
            if not _dropped(warehouse, fact, keys, indexes):
                return None
            rows = _copied(warehouse, warehouse.star(fact.name), fact.data_columns, {0: path}, {0: seen})[0]
            indexes.make(warehouse)
            keys.make(warehouse)
    except pg8000.dbapi.DatabaseError as error:
        if sqlstate(error) in (_NOT_REFERENCED, DEPENDED_UPON):
            return None
        raise
    row = warehouse.execute("range", key=quoted(fact.key), table=warehouse.star(fact.name)).one()
    return Loaded(rows, inserted=rows, first=row.first, last=row.last)


def _bulk_keys(warehouse: Warehouse, fact: WarehouseTable, news: int) -> constraints.Dropping:
    """Drops the fact's foreign keys if that pays for this many new rows; returns the dropped keys.

    If the batch is small, or small compared with the existing rows, the keys stay, so the tables' readers don't wait.
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


def _check_references(warehouse: Warehouse, tables: Iterable[WarehouseTable]) -> None:
    """Raises an error that names the staged rows that refer to nothing, after they made a statement fail."""
    for table in tables:
        rules.check_references(warehouse, table, Part(table.name, "data").staging)


def _creation(part: Part) -> str:
    definitions = ", ".join(f"{quoted(column.name)} {column.type}" for column in (*part.columns, _BATCH))
    return f"CREATE TEMPORARY TABLE {part.staging} ({definitions}) ON COMMIT DROP"


def _staged(warehouse: Warehouse, part: Part, files: Mapping[int, Path]) -> dict[int, int]:
    with about(table=part.table):
        rows = files if part.name == "data" else {}
        seen = {batch: rules.StagedRows(warehouse_tables()[part.table], path.parent) for batch, path in rows.items()}
        return _copied(warehouse, part.staging, (*part.columns, _BATCH), files, seen)


def _copied(
    warehouse: Warehouse,
    table: str,
    columns: tuple[Column, ...],
    files: Mapping[int, Path],
    seen: Mapping[int, rules.StagedRows],
) -> dict[int, int]:
    """Copies files into a table, in one COPY; returns how many rows each has.

    Args:
        seen: the checks of each file's rows, by batch.
    """
    names = ", ".join(quoted(column.name) for column in columns)
    rows = _Rows(files, columns, seen)
    with named_in_warehouse(files.values(), columns):
        copy_in(warehouse.connection, f"COPY {table} ({names}) FROM STDIN (FORMAT binary)", rows.blocks())
    for of_file in seen.values():
        of_file.check()
    return rows.counts


class _Rows:
    """Turns Parquet files, by batch, into the blocks that a binary COPY reads."""

    def __init__(
        self, files: Mapping[int, Path], columns: tuple[Column, ...], seen: Mapping[int, rules.StagedRows]
    ) -> None:
        self._files = files
        self._columns = columns
        self._seen = seen
        self.counts = dict.fromkeys(files, 0)

    def blocks(self) -> Iterator[bytes | bytearray]:
        yield binary_copy.HEADER
        for batch, path in self._files.items():
            for rows in batches(path):
                self.counts[batch] += rows.num_rows
                if batch in self._seen:
                    self._seen[batch].see(rows)
                yield from binary_copy.blocks(self._complete(batch, rows), self._columns)
        yield binary_copy.TRAILER

    def _complete(self, batch: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Returns rows with all columns. A column that is newer than the file gets its default, or NULL."""
        present = {
            **dict(zip(rows.schema.names, rows.columns, strict=True)),
            _BATCH.name: pa.repeat(pa.scalar(batch, pa.int32()), len(rows)),
        }
        return pa.RecordBatch.from_arrays(
            [
                present[column.name] if column.name in present else pa.array([column.default] * len(rows), pa.string())
                for column in self._columns
            ],
            names=[column.name for column in self._columns],
        )


def _statement(warehouse: Warehouse, name: str, table: WarehouseTable, batch: int) -> str:
    """Returns a statement with the names of a table and of its staged rows and deleted keys filled in."""
    names = [column.name for column in table.data_columns]
    # SQL can't compare rows without columns. If the key is the only column, nothing else can differ.
    others = [name for name in names if name != table.identity] or names
    return warehouse.statement(
        name,
        name=literal(table.name),
        batch=str(batch),
        table=warehouse.star(table.name),
        staging=Part(table.name, "data").staging,
        deleted=Part(table.name, "deleted").staging,
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


def _run(warehouse: Warehouse, statements: Iterable[str]) -> Iterable[Any]:
    """Runs statements in one round trip, if there are any; returns the rows of all of them."""
    together = ";\n".join(statements)
    return warehouse.connection.execute(together) if together else ()
