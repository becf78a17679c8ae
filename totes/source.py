"""Reading totesys: one snapshot of all tables, in bulk, straight into typed Parquet."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import sqlalchemy

from totes import fence
from totes.checks import CatalogueColumn, check_catalogue, check_rows, raise_if_any, unreadable
from totes.contracts import SourceTable, source_tables, warehouse_tables
from totes.database import copy_out, quoted
from totes.fence import SourcePosition
from totes.parquet import keys_schema, landed_schema, parquet_writer

SQL = Path(__file__).parent / "sql"
# Enough rows for a parser and a compressor to work well, few enough for the memory not to notice.
BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Count:
    """Rows of a table: all that are there, and those at or above the fence."""

    all: int
    new: int


class Snapshot:
    """One moment of totesys, for as long as its transaction is open.

    Attributes:
        position: where totesys stands.
        taken_at: the moment, UTC.
        undeclared: columns that no contract declares, by table.
    """

    def __init__(self, connection: sqlalchemy.Connection, position: SourcePosition, taken_at: datetime) -> None:
        self._connection = connection
        self.position = position
        self.taken_at = taken_at
        self.undeclared = check_catalogue(source_tables(), _catalogue(connection))

    def counts(self, fences: Mapping[str, int | None]) -> dict[str, Count]:
        """Counts all tables in one scan each and one round trip; without a fence every row is new."""
        selects = [
            f"SELECT '{table}' AS name, count(*) AS all_rows, "  # noqa: S608  names come from the contracts
            f"count(*) FILTER (WHERE {_new(table, at)}) AS new_rows "
            f"FROM public.{quoted(table)} AS {quoted(table)}"
            for table, at in fences.items()
        ]
        rows = self._connection.execute(sqlalchemy.text(" UNION ALL ".join(selects)))
        return {row.name: Count(row.all_rows, row.new_rows) for row in rows}

    def extract(self, table: SourceTable, fences: Mapping[str, int | None], path: Path) -> pa.Array:
        """Writes the new rows of a table, and the rows that they are joined with, to a Parquet file.

        Returns:
            the keys of the rows, in the order of the file.

        Raises:
            ContractBroken: a value is not what the contract allows.
        """
        columns = ", ".join(quoted(table.name, column.name) for column in table.columns)
        query = (
            f"SELECT {columns} FROM public.{quoted(table.name)} AS {quoted(table.name)} "  # noqa: S608  names come from the contracts
            f"WHERE {_to_read(table, fences)}"
        )
        with parquet_writer(path, landed_schema(table)) as writer:
            sink = _RowSink(table, writer)
            copy_out(self._connection, f"COPY ({query}) TO STDOUT (FORMAT csv)", sink)
            sink.flush()
        return sink.keys

    def keys(self, table: SourceTable) -> pa.Array:
        """All keys of a table."""
        key = quoted(table.key)
        sink = io.BytesIO()
        copy_out(
            self._connection,
            f"COPY public.{quoted(table.name)} ({key}) TO STDOUT (FORMAT csv)",
            sink,
        )
        schema = keys_schema(table)
        return _read_csv(sink.getvalue(), schema).column(0).combine_chunks() if sink.tell() else _no_keys(schema)


@contextmanager
def snapshot(connection: sqlalchemy.Connection) -> Iterator[Snapshot]:
    """Opens the one transaction that a batch is read in.

    Raises:
        ContractBroken: tables or columns are not as declared.
        AccessRefused: a table may not be read.
    """
    connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with connection.begin():
        row = connection.execute(_statement("position")).one()
        system, timeline = connection.execute(_statement("identity")).one() if row.may_identify else (None, None)
        position = SourcePosition(system, timeline, row.database, row.xmin, row.xmax)
        yield Snapshot(connection, position, row.snapshot_at)


@cache
def joined_tables() -> Mapping[str, Mapping[str, str]]:
    """`{table: {other: join condition}}` of the tables whose rows the warehouse joins, in both directions.

    A dimension that joins two tables needs both sides of a row whenever either side changes.
    """
    found: dict[str, dict[str, str]] = {}
    for dimension in warehouse_tables().values():
        for other, column in dimension.join.items():
            child = dimension.source or ""
            condition = f"{quoted(child, column)} = {quoted(other, source_tables()[other].key)}"
            found.setdefault(child, {})[other] = condition
            found.setdefault(other, {})[child] = condition
    return found


def _statement(name: str) -> sqlalchemy.TextClause:
    return sqlalchemy.text((SQL / f"{name}.sql").read_text(encoding="utf-8"))


def _catalogue(connection: sqlalchemy.Connection) -> list[CatalogueColumn]:
    rows = connection.execute(_statement("catalogue"), {"tables": list(source_tables())})
    return [CatalogueColumn(row.table_name, row.column_name, row.type, row.readable) for row in rows]


def _new(table: str, at: int | None) -> str:
    return "true" if at is None else fence.is_new(at, quoted(table))


def _to_read(table: SourceTable, fences: Mapping[str, int | None]) -> str:
    conditions = [_new(table.name, fences[table.name])]
    for other, join in joined_tables().get(table.name, {}).items():
        conditions.append(
            f"EXISTS (SELECT FROM public.{quoted(other)} AS {quoted(other)} "
            f"WHERE {join} AND {_new(other, fences[other])})"
        )
    return " OR ".join(conditions)


class _RowSink:
    """Collects the rows of a COPY and writes them to Parquet in blocks."""

    def __init__(self, table: SourceTable, writer: pa.parquet.ParquetWriter) -> None:
        self._table = table
        self._writer = writer
        self._block = bytearray()
        self._keys: list[pa.Array] = []

    def write(self, row: bytes) -> int:
        self._block += row
        if len(self._block) >= BLOCK_BYTES:
            self.flush()
        return len(row)

    def flush(self) -> None:
        if not self._block:
            return
        rows = self._typed(bytes(self._block))
        check_rows(self._table, rows)
        self._writer.write_table(rows.cast(landed_schema(self._table)))
        self._keys += rows.column(self._table.key).chunks
        self._block.clear()

    @property
    def keys(self) -> pa.Array:
        return pa.concat_arrays(self._keys) if self._keys else _no_keys(keys_schema(self._table))

    def _typed(self, block: bytes) -> pa.Table:
        schema = landed_schema(self._table)
        try:
            return _read_csv(block, schema)
        except pa.ArrowInvalid:
            texts = pa.schema([pa.field(name, pa.string()) for name in schema.names])
            raise_if_any(unreadable(self._table, _read_csv(block, texts)))
            raise


def _no_keys(schema: pa.Schema) -> pa.Array:
    return pa.array([], schema.types[0])


def _read_csv(block: bytes, schema: pa.Schema) -> pa.Table:
    """Rows as `COPY … (FORMAT csv)` writes them: NULL is nothing, an empty text is two quotes."""
    return pa.csv.read_csv(
        io.BytesIO(block),
        read_options=pa.csv.ReadOptions(column_names=schema.names),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pa.csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
            timestamp_parsers=[pa.csv.ISO8601],
        ),
    )
