"""Writes SQL for the two sides of a warehouse table: its rows as totesys says that they should be, and as they are.

Every value is written as the same text on both sides, whatever the server's version and settings. A row's checksum is
made of these texts. A column's origin and calculation follow from the declaration, as in totes.warehouse.star.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from totes.contracts.declarations import Column, WarehouseTable, origin_of, source_tables, type_in_use
from totes.contracts.derivations import DERIVATIONS
from totes.postgres.connection import quoted
from totes.source.windows import joined_tables
from totes.warehouse.warehouse import LIVE, Schemas

# One checksum stands for 2 to the power of 8 keys: few enough to compare one by one if it differs.
BUCKET_BITS = 8


@dataclass(frozen=True)
class Side:
    """SQL for the rows of one table in one of the databases. Columns have the warehouse's names.

    Attributes:
        rows: the tables after FROM.
        key: the id that both sides share.
        texts: each column as canonical text; NULL stays NULL.
        measures: the columns to add up, as numbers.
        new: a condition that is true of rows written since the last loaded batch.
        bound: the values of the parameters in `texts`.
    """

    rows: str
    key: str
    texts: Mapping[str, str]
    measures: Mapping[str, str] = field(default_factory=dict)
    new: str = "false"
    bound: Mapping[str, str] = field(default_factory=dict)

    def buckets(self) -> str:
        """Returns a query for each bucket of keys: number, rows, sum of their checksums, and sums of the measures."""
        sums = "".join(f", sum({value})" for value in self.measures.values())
        return f"SELECT {self._bucket}, count(*), sum({self._checksum}){sums} FROM {self.rows} GROUP BY 1"  # noqa: S608  names come from the contracts

    def keys(self) -> str:
        """Returns a query for each row in the buckets: key, checksum, and whether it is new.

        Its parameters are `:buckets`, and `:low` and `:high`, the first and the last key that the buckets can have.
        """
        return (
            f"SELECT {self.key}, {self._checksum}, {self.new} FROM {self.rows} "  # noqa: S608  names come from the contracts
            f"WHERE {self.key} BETWEEN :low AND :high AND {self._bucket} = ANY(:buckets)"
        )

    def values(self) -> str:
        """Returns a query for each row whose key is in `:keys`: the key, and all columns as text."""
        return f"SELECT {self.key}, {', '.join(self.texts.values())} FROM {self.rows} WHERE {self.key} = ANY(:keys)"  # noqa: S608  names come from the contracts

    @property
    def _bucket(self) -> str:
        return f"{self.key} >> {BUCKET_BITS}"

    @property
    def _checksum(self) -> str:
        # %L quotes a text and writes NULL without quotes: a comma in a text can't split it, and NULL differs from ''.
        row = f"format('{','.join(['%L'] * len(self.texts))}', {', '.join(self.texts.values())})"
        return f"CAST(CAST('x' || left(md5(convert_to({row}, 'UTF8')), 16) AS bit(64)) AS bigint)"


def columns_of(table: WarehouseTable, version: int) -> tuple[Column, ...]:
    """Returns the columns that totesys fills, in a version of the warehouse's schema."""
    return tuple(column for column in table.data_columns if column.since <= version)


def totesys_side(table: WarehouseTable, version: int, is_new: Mapping[str, str]) -> Side:
    """Returns the side of totesys: a table's rows as they should be, made from its source and the joined tables.

    Args:
        is_new: SQL by table of totesys that is true of the rows written since the last loaded batch.
    """
    columns = columns_of(table, version)
    source = table.source or ""
    rows = f"public.{quoted(source)} AS {quoted(source)}"
    for other in table.join:
        # LEFT, because a row of the source must not disappear here, even if it refers to no row.
        rows += f" LEFT JOIN public.{quoted(other)} AS {quoted(other)} ON {joined_tables()[source][other]}"
    return Side(
        rows=rows,
        key=quoted(source, source_tables()[source].key),
        texts={column.name: _made(column) for column in columns},
        measures={column.name: _origin(column) for column in columns if _is_measure(table, column)},
        new=" OR ".join(f"coalesce({is_new[name]}, false)" for name in (source, *table.join)),
        bound=_bound(columns),
    )


def warehouse_side(table: WarehouseTable, version: int, schemas: Schemas = LIVE) -> Side:
    """Returns the side of the warehouse: a table's rows as they are; of a fact, the latest versions not deleted."""
    columns = columns_of(table, version)
    relation = table.name.replace("fact_", "current_", 1) if table.is_fact else table.name
    return Side(
        rows=schemas.star(relation),
        key=quoted(table.identity),
        texts={column.name: _text(column, quoted(column.name)) for column in columns},
        measures={column.name: quoted(column.name) for column in columns if _is_measure(table, column)},
    )


def _made(column: Column) -> str:
    """Returns SQL for a column's text, made from totesys as Transform makes the column."""
    value = _origin(column)
    if column.derive:
        value = DERIVATIONS[column.derive].sql.format(origin=value)
    elif origin_of(column).type_row.is_moment:
        value = f"CAST({value} AS {column.type})"
    text = _text(column, value)
    if column.default is None:
        return text
    return f"coalesce({text}, {_text(column, f'CAST(:{_default(column)} AS {column.type})')})"


def _bound(columns: tuple[Column, ...]) -> dict[str, str]:
    bound = {_default(column): column.default for column in columns if column.default is not None}
    for name in {column.derive for column in columns if column.derive}:
        bound |= DERIVATIONS[name].bound()
    return bound


def _text(column: Column, value: str) -> str:
    # A date that totesys holds as text is not cast: a text that is no date must be shown, not stop the comparison.
    return type_in_use(column).canonical_text(value)


def _origin(column: Column) -> str:
    """Returns SQL for a column's origin; for a text that is too long to load, its length instead."""
    table, _, name = (column.origin or "").partition(".")
    value, limit = quoted(table, name), source_tables()[table].byte_limits.get(name)
    if limit is None:
        return value
    length = f"octet_length({value})"
    return f"CASE WHEN {length} > {limit} THEN {length} || ' bytes' ELSE {value} END"


def _default(column: Column) -> str:
    return f"default_{column.name}"


def _is_measure(table: WarehouseTable, column: Column) -> bool:
    return table.is_fact and column.type_row.is_measure and column.references is None and column.name != table.identity
