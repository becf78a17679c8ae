"""Turns landed rows into rows of the warehouse's stars.

Each conversion follows from the declarations in schemas/warehouse: a column's origin, and its types in totesys and in
the warehouse. A declaration's `derive` names a function for any other conversion.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from totes.contracts.arrow import arrow_type
from totes.contracts.declarations import Column, WarehouseTable, origin_of, source_tables
from totes.contracts.derivations import CALENDAR_COLUMNS, DERIVATIONS
from totes.errors import ContractViolation
from totes.lake.parquet import processed_schema
from totes.lake.texts import texts

if TYPE_CHECKING:
    import pandas as pd

# A join repeats a parent's texts in every row that refers to it. At most this many bytes of them are made at a time.
_PARENT_BYTES = 16 << 20


def shaped(table: WarehouseTable, rows: pa.RecordBatch | pa.Table) -> pa.Table:
    """Turns rows of the source into rows of a fact or dimension.

    Args:
        rows: rows of the table's source; if the table joins others, rows that `joined` returned.

    Raises:
        ContractViolation: a value can't be derived, for instance the name of an unknown currency.
    """
    schema = processed_schema(table)
    columns = [
        _column(table, column, _origin(table, column, rows), field)
        for column, field in zip(table.data_columns, schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def joined(table: WarehouseTable, landed: Mapping[str, pa.Table]) -> pa.Table:
    """Joins the rows of a table's source with the rows to which they refer.

    Returns:
        the columns of `source`, and those of every other table under the name `other.column`.
    """
    rows = _frame(landed[table.source or ""])
    for other, column in table.join.items():
        parent = _frame(landed[other]).add_prefix(f"{other}.")
        key = f"{other}.{source_tables()[other].key}"
        rows = rows.merge(parent, how="left", left_on=column, right_on=key, validate="many_to_one")
        _require_parents(table, other, rows, key, column)
    return pa.Table.from_pandas(rows, preserve_index=False)


def parts_to_join(
    table: WarehouseTable, rows: pa.RecordBatch, parents: Mapping[str, pa.Table]
) -> Iterator[pa.RecordBatch]:
    """Cuts a table's source rows into parts that fit into memory once they are joined with their parents."""
    added = pa.repeat(0, rows.num_rows)
    for other, column in table.join.items():
        parent = parents[other]
        place = pc.index_in(rows.column(column), parent.column(source_tables()[other].key).combine_chunks())
        added = pc.add(added, pc.fill_null(_text_bytes(parent).take(place), 0))
    yield from _halved(rows, added)


def calendar(table: WarehouseTable, years: Iterable[int]) -> pa.Table:
    """Returns the calendar's rows for whole years, so that no day of a year is missing."""
    days = [
        date.fromordinal(day)
        for year in sorted(years)
        for day in range(date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal() + 1)
    ]
    schema = processed_schema(table)
    columns = [pa.array(list(map(CALENDAR_COLUMNS[field.name], days))).cast(field.type) for field in schema]
    return pa.table(columns, schema=schema)


def years_of(table: WarehouseTable, rows: pa.Table) -> set[int]:
    """Returns the years of all days to which the rows refer."""
    dates = [column.name for column in table.data_columns if column.references == "dim_date"]
    return {year for name in dates for year in pc.unique(pc.year(rows.column(name))).to_pylist()}


def _origin(table: WarehouseTable, column: Column, rows: pa.RecordBatch | pa.Table) -> pa.ChunkedArray:
    name = (column.origin or "").removeprefix(f"{table.source}.")
    if name not in rows.schema.names:
        # The batch was landed before totesys' column was declared.
        return pa.chunked_array([pa.nulls(rows.num_rows, pa.string())])
    values = rows.column(name)
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def _column(table: WarehouseTable, column: Column, values: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    made = _derived(column.derive, values) if column.derive else _converted(column, values).cast(field.type)
    if column.default is not None:
        made = pc.fill_null(made, pa.scalar(column.default).cast(made.type))
    if not field.nullable and made.null_count:
        found = pc.unique(values.filter(pc.is_null(made))).to_pylist()[:5]
        raise ContractViolation(
            f"{table.name}.{column.name} has no value where {column.origin} is {found}.",
            f"Change the declaration in schemas/warehouse/{table.name}.toml and deploy: what is landed stays as it is.",
        )
    return made


def _converted(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = arrow_type(column)
    if pa.types.is_string(kind) and not pa.types.is_string(values.type):
        return texts(values, origin_of(column).type_row)
    return values.cast(kind)


def _derived(name: str, values: pa.ChunkedArray) -> pa.Array:
    return pa.array([DERIVATIONS[name].value(value) for value in values.to_pylist()], pa.string())


def _halved(rows: pa.RecordBatch, added: pa.Array) -> Iterator[pa.RecordBatch]:
    if len(added) < 2 or pc.sum(added).as_py() <= _PARENT_BYTES:
        yield rows
        return
    half = len(added) // 2
    yield from _halved(rows[:half], added[:half])
    yield from _halved(rows[half:], added[half:])


def _text_bytes(rows: pa.Table) -> pa.ChunkedArray:
    """Returns the bytes of each row's texts together."""
    total = pa.chunked_array([pa.repeat(0, len(rows))])
    for values in rows.columns:
        if pa.types.is_string(values.type):
            total = pc.add(total, pc.fill_null(pc.binary_length(values), 0))
    return total


def _frame(rows: pa.Table) -> "pd.DataFrame":
    # Imported here because only a batch with a dimension that joins others needs pandas (totes.lake.lean_arrow).
    import pandas as pd

    # Arrow's own types, because a NULL in a column of integers must not turn them into floats.
    frame: pd.DataFrame = rows.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _require_parents(table: WarehouseTable, other: str, rows: "pd.DataFrame", key: str, column: str) -> None:
    orphans = rows.loc[rows[key].isna(), column]
    if len(orphans):
        raise ContractViolation(
            f"{table.source}.{column} refers to {sorted(orphans.unique())[:5]}, which {other} of the same batch lacks.",
            "Ingest lets no such row pass: restore the first versions of the batch's objects in S3 (the buckets are "
            "versioned). If they have no others, report it: this is a bug.",
        )
