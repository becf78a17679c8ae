"""Parquet files whose schema comes from the contracts, never from the data."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from totes.contracts.declarations import Column, ContractInvalid, SourceTable, WarehouseTable, origin_of
from totes.lake.keys import in_order
from totes.lake.lean_arrow import look_for_pandas_later

look_for_pandas_later()

_SIMPLE = {
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "varchar": pa.string(),
    "date": pa.date32(),
    "time": pa.time32("ms"),
    "timestamp(3)": pa.timestamp("ms"),
}
_STORED_AS_INTEGERS = (pa.int32(), pa.date32(), pa.time32("ms"), pa.timestamp("ms"))
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
ROWS_AT_ONCE = 128 * 1024


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column; an unbounded numeric of the warehouse is as wide as its origin in totesys."""
    if simple := _SIMPLE.get(column.type):
        return simple
    if numeric := _NUMERIC.fullmatch(column.type):
        return pa.decimal128(int(numeric[1]), int(numeric[2]))
    if column.type == "numeric" and column.origin:
        return arrow_type(origin_of(column))
    if column.type.startswith(("varchar(", '"')):
        return pa.string()
    raise ContractInvalid(f"Column {column.name} has the type {column.type}.", f"Use one of {sorted(_SIMPLE)}.")


def processed_type(column: Column) -> pa.DataType:
    """The Arrow type of a column in the processed zone, which any engine reads: a time of day is text there.

    Neither Athena's tables nor older Sparks know Parquet's TIME. `HH:MM:SS.mmm` sorts and compares as a time does.
    """
    kind = arrow_type(column)
    return pa.string() if pa.types.is_time(kind) else kind


def landed_schema(table: SourceTable) -> pa.Schema:
    """Of `data` in the landing zone: the table's columns as they are in totesys."""
    return pa.schema([_field(column) for column in table.columns])


def processed_schema(table: WarehouseTable) -> pa.Schema:
    """Of `data` in the processed zone: the table's columns but for the serial."""
    return pa.schema([_processed_field(column) for column in table.data_columns])


def keys_schema(table: SourceTable) -> pa.Schema:
    """Of `keys` and `deleted` in the landing zone."""
    return pa.schema([_field(table.column(table.key))])


def deleted_schema(table: WarehouseTable) -> pa.Schema:
    """Of `deleted` in the processed zone."""
    return pa.schema([_processed_field(table.column(table.identity))])


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer whose bytes depend on nothing but the rows and the version of pyarrow.

    Numbers and moments are stored as differences, and nothing as numbers of a dictionary: on sales orders that takes
    two thirds of the time and of the space.
    """
    differences = {field.name: "DELTA_BINARY_PACKED" for field in schema if field.type in _STORED_AS_INTEGERS}
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        version="2.6",
        store_schema=False,
        use_dictionary=False,
        column_encoding=differences,
    ) as writer:
        yield writer


def write_keys(path: Path, keys: pa.Array, schema: pa.Schema) -> None:
    """One column of keys, in order: near nothing on disk where they follow each other."""
    with parquet_writer(path, schema) as writer:
        writer.write_table(pa.table([in_order(keys)], schema=schema))


def batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yields a file's rows in pieces of bounded size, one row group at a time.

    The writer held each row group in memory. Arrow itself would join several of them, however long their rows are.
    """
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield from file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=[group])


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, arrow_type(column), nullable=column.nullable)


def _processed_field(column: Column) -> pa.Field:
    return pa.field(column.name, processed_type(column), nullable=column.nullable)
