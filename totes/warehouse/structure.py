"""Reads the warehouse's tables from its catalogue, and compares them with the declarations."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from totes.contracts import types
from totes.contracts.declarations import Column, WarehouseTable
from totes.postgres.driver import PipelineConnection
from totes.postgres.statements import sql

_TABLE = "r"
# Our log has these columns. Somebody else's schema of the same name has others.
_VERSIONS = [("version", "integer"), ("applied_at", "timestamp with time zone")]
_BATCHES = {"batch_id", "snapshot_at", "loaded_at", "execution"}
_TEXT = re.compile(r"'((?:[^']|'')*)'(?:::.*)?")


@dataclass(frozen=True)
class LiveColumn:
    """A column of the warehouse; `default` is the expression as PostgreSQL prints it."""

    name: str
    type: str
    not_null: bool
    default: str | None


@dataclass(frozen=True)
class LiveTable:
    """A relation of the warehouse.

    Attributes:
        kind: as in pg_class.
        owned: whether this user, or a role that the user is a member of, owns it.
        keys: pairs of a column and the table to which it refers; None for the primary key.
    """

    kind: str
    owned: bool
    columns: Mapping[str, LiveColumn]
    keys: frozenset[tuple[str, str | None]]


@dataclass(frozen=True)
class Structure:
    """The warehouse's relations: all those of the log's schema, and the requested ones of the stars' schema."""

    log: Mapping[str, LiveTable]
    stars: Mapping[str, LiveTable]

    @property
    def has_our_log(self) -> bool:
        """Returns whether a release of totes has made the log."""
        versions, batches = self.log.get("schema_version"), self.log.get("batch")
        return (
            versions is not None
            and batches is not None
            and versions.kind == _TABLE
            and [(column.name, column.type) for column in versions.columns.values()] == _VERSIONS
            and batches.columns.keys() >= _BATCHES
        )

    def is_to_widen(self, table: WarehouseTable, column: Column) -> bool:
        """Returns whether a declared column exists with a type that can be widened to the declared one."""
        live = self.stars.get(table.name)
        found = live.columns.get(column.name) if live else None
        narrower = types.in_catalogue(found.type) if found else None
        return narrower is not None and narrower.can_widen_to(column.type_row)


@dataclass(frozen=True)
class Difference:
    """A difference between the warehouse and the declarations.

    Attributes:
        stops: whether Load would fail because of it.
    """

    found: str
    remedy: str
    stops: bool


def read_structure(connection: PipelineConnection, stars: str, log: str, names: Iterable[str]) -> Structure:
    """Reads the relations of both schemas from the catalogue, in one round trip.

    Args:
        stars, log: the names of the two schemas.
        names: the tables and views to read of the stars' schema.
    """
    statement = sql("warehouse", "warehouse_structure")
    rows = connection.execute(statement, {"stars": stars, "log": log, "names": list(names)}).all()
    log_tables, star_tables = (
        {
            row.name: LiveTable(
                row.kind,
                row.owned,
                {column[0]: LiveColumn(*column) for column in json.loads(row.columns or "[]")},
                frozenset((column, table) for column, table in json.loads(row.keys or "[]")),
            )
            for row in rows
            if row.in_log == in_log
        }
        for in_log in (True, False)
    )
    return Structure(log_tables, star_tables)


def differences(tables: Mapping[str, WarehouseTable], found: Structure, following: int) -> Iterator[Difference]:
    """Yields each difference between the warehouse and the declarations of its version.

    Args:
        following: the number of the next version, for the remedies.
    """
    for table in tables.values():
        live = found.stars.get(table.name)
        if live is None:
            yield Difference(
                f"table {table.name} is not there",
                f"If its declaration is new, write `since = {following}` into it; else restore the table.",
                True,
            )
            continue
        for column in table.columns:
            yield from _column_differences(table, column, live, following)
            if not found.is_to_widen(table, column):
                yield from _type_differences(table, column, live, following)
        for column in table.former_columns:
            if column.name in live.columns:
                yield _not_dropped(table, column, following)
        declared = {column.name for column in table.all_columns}
        for other in live.columns.values():
            if other.name not in declared:
                yield _undeclared(table, other, following)


def _column_differences(table: WarehouseTable, column: Column, live: LiveTable, following: int) -> Iterator[Difference]:
    name = f"{table.name}.{column.name}"
    alter = f"ALTER TABLE {{stars}}.{table.name} ALTER COLUMN {column.name}"
    another = _another(table, following)
    found = live.columns.get(column.name)
    if found is None:
        remedy = f"If it is new, write `since = {following}` into its line; if it has a new name: {another}"
        yield Difference(f"column {name} is not there", remedy, True)
        return
    if found.not_null and column.nullable:
        yield Difference(
            f"column {name} is NOT NULL, expected nullable", _by_file(following, f"{alter} DROP NOT NULL"), True
        )
    elif not found.not_null and not column.nullable:
        yield Difference(
            f"column {name} may be NULL, expected not nullable", _by_file(following, f"{alter} SET NOT NULL"), False
        )
    default = column.default if column.since > table.since else None
    if not column.is_assigned and _literal(found.default) != default:
        to = "DROP DEFAULT" if default is None else "SET DEFAULT '{}'".format(default.replace("'", "''"))
        said = f"column {name} has the default {found.default or 'NULL'}, expected {default or 'NULL'}"
        yield Difference(said, _by_file(following, f"{alter} {to}"), False)
    referred = {other for name, other in live.keys if name == column.name and other}
    if referred != ({column.references} if column.references else set()):
        said = f"refers to {', '.join(sorted(referred)) or 'nothing'}, expected {column.references or 'nothing'}"
        yield Difference(f"column {name} {said}", another, False)
    if column.name == table.key and (column.name, None) not in live.keys:
        remedy = f"ALTER TABLE {table.name} ADD PRIMARY KEY ({column.name});"
        # Load finds a dimension's rows by its primary key.
        yield Difference(f"table {table.name} has no primary key {column.name}", remedy, not table.is_fact)


def _type_differences(table: WarehouseTable, column: Column, live: LiveTable, following: int) -> Iterator[Difference]:
    found, expected = live.columns.get(column.name), column.type_row.catalogue_name
    if found and found.type != expected:
        said = f"column {table.name}.{column.name} has the type {found.type}, expected {expected}"
        yield Difference(said, _another(table, following), True)


def _another(table: WarehouseTable, following: int) -> str:
    return (
        f"Undo the change in schemas/warehouse/{table.name}.toml, or write `until = {following}` into the old line and "
        f"declare a column of another name with `since = {following}`."
    )


def _not_dropped(table: WarehouseTable, column: Column, following: int) -> Difference:
    # Load would fill it with NULL, and a schema that is made from empty would lack it.
    return Difference(
        f"column {table.name}.{column.name} is there, and its `until = {column.until}` says that version "
        f"{column.until} dropped it",
        f"Write `until = {following}` into its line in schemas/warehouse/{table.name}.toml: the next Load then drops "
        "the column. If it is yours, give it another name.",
        True,
    )


def _undeclared(table: WarehouseTable, column: LiveColumn, following: int) -> Difference:
    refuses = column.not_null and column.default is None
    yours = (
        f"make it nullable: ALTER TABLE {table.name} ALTER COLUMN {column.name} DROP NOT NULL"
        if refuses
        else "do nothing"
    )
    return Difference(
        f"column {table.name}.{column.name} is there and not declared"
        + (", and takes no row without it" if refuses else ""),
        f"If it was declared, put its line back into schemas/warehouse/{table.name}.toml with "
        f"`until = {following}`: the next Load then drops the column. If it is yours, {yours}.",
        refuses,
    )


def _by_file(following: int, statement: str) -> str:
    return f"Undo the change, or add schemas/warehouse/{following:04d}_alter.sql with: {statement};"


def _literal(default: str | None) -> str | None:
    if default is None:
        return None
    quoted = _TEXT.fullmatch(default)
    return quoted[1].replace("''", "'") if quoted else default
