"""Which rows of each table a batch takes, as values and as SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from totes.contracts.declarations import SourceTable, source_tables, warehouse_tables
from totes.postgres.connection import quoted
from totes.source import fence


@dataclass(frozen=True)
class Count:
    """How many rows a table has, and where the new ones begin.

    Attributes:
        all: how many rows the table has.
        first_new: the lowest place, `(page,line)`, of a row that the window takes, in any of the table's relations;
            None if it takes none.
    """

    all: int
    first_new: str | None


@dataclass(frozen=True)
class Window:
    """The window of a table: which of its rows a batch takes.

    Attributes:
        fence: the window takes rows that are not older than this id; None takes all.
        again: the keys of rows that it takes at any age.
        relations: the object ids of relations whose rows it takes at any age.
        begin: the place of the first row to take; None if it is not known.
    """

    fence: int | None
    again: tuple[int, ...] = ()
    relations: tuple[str, ...] = ()
    begin: str | None = None


Windows = Mapping[str, Window]


@dataclass(frozen=True)
class Extent:
    """A table's row count, and its lowest and highest keys; all are 0 if the table is empty."""

    rows: int
    low: int
    high: int


@cache
def joined_tables() -> Mapping[str, Mapping[str, str]]:
    """Returns `{table: {other: join condition}}` for the tables that the warehouse joins, in both directions.

    A dimension that joins two tables needs both rows whenever either one changes.
    """
    found: dict[str, dict[str, str]] = {}
    for dimension in warehouse_tables().values():
        for other, column in dimension.join.items():
            child = dimension.source or ""
            condition = f"{quoted(child, column)} = {quoted(other, source_tables()[other].key)}"
            found.setdefault(child, {})[other] = condition
            found.setdefault(other, {})[child] = condition
    return found


def taken(table: SourceTable, window: Window) -> str:
    """Returns SQL that is true for the rows that a window takes."""
    if window.fence is None:
        return "true"
    sql = fence.is_new(window.fence, quoted(table.name))
    if window.again:
        sql = f"({sql} OR {among(table, window.again)})"
    if window.relations:
        # Literals, because for numbers an operator in the schema public could match better than pg_catalog's.
        oids = ", ".join(f"'{oid}'" for oid in window.relations)
        sql = f"({sql} OR {quoted(table.name, 'tableoid')} IN ({oids}))"
    if window.begin:
        # New rows mostly lie at the table's end, so this saves a second scan of the whole table.
        sql += f" AND {quoted(table.name, 'ctid')} >= '{window.begin}'"
    return sql


def among(table: SourceTable, keys: tuple[int, ...]) -> str:
    """Returns SQL that is true for the rows with these keys."""
    return f"{quoted(table.name, table.key)} IN ({', '.join(map(str, keys))})"


def to_read(table: SourceTable, windows: Windows) -> str:
    """Returns SQL that is true for the rows that a table's window takes, and for the rows joined with new ones."""
    conditions = [taken(table, windows[table.name])]
    for other, join in joined_tables().get(table.name, {}).items():
        conditions.append(
            f"EXISTS (SELECT FROM public.{quoted(other)} AS {quoted(other)} "
            f"WHERE {join} AND {taken(source_tables()[other], windows[other])})"
        )
    return " OR ".join(conditions)
