"""The two sides of a table of the warehouse, as SQL: what totesys says that its rows should be, and what they are.

Every value is written as the same text on both sides, whatever the server's version and settings; a row's checksum is
made of these texts. Where a column comes from, and how it is made, follows from the declaration, as in
totes.warehouse.star.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from totes.contracts.declarations import Column, WarehouseTable, origin_of, source_tables, type_in_use
from totes.contracts.derivations import DERIVATIONS
from totes.postgres.connection import quoted
from totes.source.windows import joined_tables
from totes.warehouse.warehouse import LIVE, Schemas

# Keys that are compared by one checksum, as a power of two: few enough to look at one by one where it differs.
BUCKET_BITS = 8


@dataclass(frozen=True)
class Side:
    """The rows of one table in one of the databases. All names are those of the warehouse's columns.

    Attributes:
        rows: what stands behind FROM.
        key: the id that both sides share.
        texts: each column as canonical text; NULL stays NULL.
        measures: the columns that are added up, as numbers.
        new: true of the rows that were written since the last loaded batch.
        bound: the values of the parameters in `texts`.
    """

    rows: str
    key: str
    texts: Mapping[str, str]
    measures: Mapping[str, str] = field(default_factory=dict)
    new: str = "false"
    bound: Mapping[str, str] = field(default_factory=dict)

    def buckets(self) -> str:
        """Of each bucket of keys: its number, rows, sum of their checksums, and sums of the measures."""
        sums = "".join(f", sum({value})" for value in self.measures.values())
        return f"SELECT {self._bucket}, count(*), sum({self._checksum}){sums} FROM {self.rows} GROUP BY 1"  # noqa: S608  names come from the contracts

    def keys(self) -> str:
        """Of each row in the buckets of `:buckets`, `:low` to `:high` being their keys: key, checksum, whether new."""
        return (
            f"SELECT {self.key}, {self._checksum}, {self.new} FROM {self.rows} "  # noqa: S608  names come from the contracts
            f"WHERE {self.key} BETWEEN :low AND :high AND {self._bucket} = ANY(:buckets)"
        )

    def values(self) -> str:
        """Of each row whose key is in `:keys`: the key, and all columns as text."""
        return f"SELECT {self.key}, {', '.join(self.texts.values())} FROM {self.rows} WHERE {self.key} = ANY(:keys)"  # noqa: S608  names come from the contracts

    @property
    def _bucket(self) -> str:
        return f"{self.key} >> {BUCKET_BITS}"

    @property
    def _checksum(self) -> str:
        # %L quotes a text and writes NULL without quotes: neither a comma in a text nor NULL and '' are mixed up.
        row = f"format('{','.join(['%L'] * len(self.texts))}', {', '.join(self.texts.values())})"
        return f"CAST(CAST('x' || left(md5(convert_to({row}, 'UTF8')), 16) AS bit(64)) AS bigint)"


def columns_of(table: WarehouseTable, version: int) -> tuple[Column, ...]:
    """The columns that totesys fills, in a version of the warehouse's schema."""
    return tuple(column for column in table.data_columns if column.since <= version)


def totesys_side(table: WarehouseTable, version: int, is_new: Mapping[str, str]) -> Side:
    """What the rows of a table should be, out of its source and the tables that it joins.

    Args:
        is_new: SQL by table of totesys that is true of the rows written since the last loaded batch.
    """
    columns = columns_of(table, version)
    source = table.source or ""
    rows = f"public.{quoted(source)} AS {quoted(source)}"
    for other in table.join:
        # LEFT, for a row of the source must not disappear here, whatever it refers to.
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
    """What the rows of a table are: of a fact the latest versions, without those that were deleted."""
    columns = columns_of(table, version)
    relation = table.name.replace("fact_", "current_", 1) if table.is_fact else table.name
    return Side(
        rows=schemas.star(relation),
        key=quoted(table.identity),
        texts={column.name: _text(column, quoted(column.name)) for column in columns},
        measures={column.name: quoted(column.name) for column in columns if _is_measure(table, column)},
    )


def _made(column: Column) -> str:
    """A column's text, made from totesys as transform makes the column."""
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
    # A date that totesys holds as text is not cast: what is no date must be shown, not stop the comparison.
    return type_in_use(column).canonical_text(value)


def _origin(column: Column) -> str:
    """The column that a value comes from; of a text that is too long to be loaded, how long it is."""
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
