"""The warehouse's schema: made from the contracts, brought forward version by version, never back.

A version is what the declarations and the files `schemas/warehouse/<version>_*.sql` say `since` that number: tables,
then columns, then the files. Views are made anew at the end, as they only show what the tables hold.
"""

import re
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.schema import CreateColumn

from totes import locks
from totes.contracts import SCHEMAS, Column, ContractInvalid, WarehouseTable, warehouse_tables
from totes.database import quoted
from totes.errors import VersionUnknown

FOLDER = SCHEMAS / "warehouse"
_SQL = Path(__file__).parent / "sql"
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_TYPES: dict[str, type[sqlalchemy.types.TypeEngine[Any]]] = {
    "serial": sqlalchemy.Integer,
    "integer": sqlalchemy.Integer,
    "varchar": sqlalchemy.String,
    "date": sqlalchemy.Date,
    "time": sqlalchemy.Time,
    "numeric": sqlalchemy.Numeric,
    "boolean": sqlalchemy.Boolean,
}
# "totes" in hexadecimal: one lock for all that changes the live warehouse.
LOCK = 0x746F746573


@cache
def metadata(version: int) -> sqlalchemy.MetaData:
    """The tables of the stars as SQLAlchemy knows them, with the columns that they had in a version."""
    stars = sqlalchemy.MetaData(schema=LIVE.stars)
    for table in warehouse_tables().values():
        columns = [_column(table, column) for column in table.columns if column.since <= version]
        made = sqlalchemy.Table(table.name, stars, *columns, comment=table.meaning)
        if table.is_fact:
            sqlalchemy.Index(f"{table.name}_versions", made.c[table.identity], made.c[table.key])
    return stars


def latest_version() -> int:
    """The version that this release knows."""
    declared = [
        since for table in warehouse_tables().values() for since in (table.since, *(c.since for c in table.columns))
    ]
    return max(declared + [_version(path) for path in _files()])


@dataclass(frozen=True)
class Place:
    """Where a warehouse lies in its database: the schema of its stars and that of its log."""

    stars: str = "public"
    log: str = "etl"

    @property
    def lock(self) -> int:
        """The advisory lock of all that changes the warehouse here; no place waits for another."""
        return LOCK if self == LIVE else LOCK + 1 + zlib.crc32(f"{self.stars} {self.log}".encode())

    def connection(self, connection: sqlalchemy.Connection) -> sqlalchemy.Connection:
        """The connection, on which all that this package does concerns the warehouse of this place."""
        return connection.execution_options(schema_translate_map={LIVE.stars: self.stars, LIVE.log: self.log})


LIVE = Place()


def place(connection: sqlalchemy.Connection) -> Place:
    """The place that a connection is about; the live warehouse where nothing else was said."""
    schemas = connection.get_execution_options().get("schema_translate_map") or {}
    return Place(schemas.get(LIVE.stars, LIVE.stars), schemas.get(LIVE.log, LIVE.log))


def star(connection: sqlalchemy.Connection, table: str) -> str:
    """A table of the stars, as an SQL identifier."""
    return quoted(place(connection).stars, table)


def placed(connection: sqlalchemy.Connection, sql: str, **names: str) -> str:
    """SQL with `{stars}` and `{log}` filled in, and what else is named."""
    at = place(connection)
    return sql.format(stars=quoted(at.stars), log=quoted(at.log), **names)


def statement(connection: sqlalchemy.Connection, name: str, **names: str) -> sqlalchemy.TextClause:
    """A statement of totes/sql."""
    return sqlalchemy.text(placed(connection, (_SQL / f"{name}.sql").read_text(encoding="utf-8"), **names))


def lock(connection: sqlalchemy.Connection) -> None:
    """Waits until no other transaction changes the warehouse, and keeps others waiting until this one ends."""
    key = {"key": place(connection).lock}
    connection.execute(sqlalchemy.text("SELECT pg_catalog.pg_advisory_xact_lock(:key)"), key)


def migrate(connection: sqlalchemy.Connection) -> None:
    """Brings the schema to this release's version, in one transaction; does nothing if it has it already.

    It needs tables and views for itself for a moment. While somebody uses them, it lets other readers pass and tries
    again, for LOCK_SECONDS.

    Raises:
        VersionUnknown: a newer release has been here.
    """
    latest = latest_version()
    with connection.begin():
        if applied_version(connection) == latest:
            return
        lock(connection)
        # Another execution may have done it while this one waited.
        applied = applied_version(connection)
        if applied > latest:
            raise VersionUnknown(
                f"The warehouse's schema has version {applied}; this release knows up to {latest}.",
                "Deploy the release that made it, or a later one.",
            )
        locks.change_when_free(connection, lambda: _bring_from(connection, applied, latest))


def applied_version(connection: sqlalchemy.Connection) -> int:
    """The version that the schema has; 0 where there is none."""
    versions = quoted(place(connection).log, "schema_version")
    if connection.scalar(sqlalchemy.text("SELECT to_regclass(:versions)"), {"versions": versions}) is None:
        return 0
    return int(connection.scalar(statement(connection, "schema_version")) or 0)


def views(connection: sqlalchemy.Connection, fact: WarehouseTable) -> str:
    """The DDL of a fact's views and functions."""
    entity = fact.name.removeprefix("fact_")
    return placed(
        connection,
        (FOLDER / "views.sql").read_text(encoding="utf-8"),
        fact=quoted(fact.name),
        fact_name=f"'{fact.name}'",
        current=quoted(f"current_{entity}"),
        history=quoted(f"{entity}_history"),
        as_of=quoted(f"{entity}_as_of"),
        record_id=quoted(fact.key),
        business_id=quoted(fact.identity),
    )


def _bring_from(connection: sqlalchemy.Connection, applied: int, latest: int) -> None:
    for version in range(applied + 1, latest + 1):
        _bring_forward(connection, version)
    for table in warehouse_tables().values():
        if table.is_fact:
            connection.exec_driver_sql(views(connection, table))


def _bring_forward(connection: sqlalchemy.Connection, version: int) -> None:
    if version == 1:
        _run(connection, FOLDER / "schema_version.sql")
    for table in warehouse_tables().values():
        made = metadata(version).tables[f"{LIVE.stars}.{table.name}"]
        if table.since == version:
            made.create(connection)
            continue
        for column in table.columns:
            if column.since == version:
                _add_column(connection, made, column)
    for path in _files():
        if _version(path) == version:
            _run(connection, path)
    connection.execute(statement(connection, "add_schema_version"), {"version": version})


def _add_column(connection: sqlalchemy.Connection, table: sqlalchemy.Table, column: Column) -> None:
    if not column.nullable and column.default is None:
        raise ContractInvalid(
            f"{table.name}.{column.name} came with version {column.since} and has neither `nullable` nor `default`, "
            "so the rows that are there already would have no value.",
            f"Give it one of the two in schemas/warehouse/{table.name}.toml.",
        )
    definition = CreateColumn(table.c[column.name]).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {star(connection, table.name)} ADD COLUMN {definition}")


def _run(connection: sqlalchemy.Connection, ddl: Path) -> None:
    connection.exec_driver_sql(placed(connection, ddl.read_text(encoding="utf-8")))


def _column(table: WarehouseTable, column: Column) -> sqlalchemy.Column[object]:
    references = [sqlalchemy.ForeignKey(_key_of(column.references))] if column.references else []
    return sqlalchemy.Column(
        column.name,
        _type(column),
        *references,
        primary_key=column.name == table.key,
        autoincrement=column.type == "serial",
        nullable=column.nullable,
        # Rows that were there before the column need a value; rows that come later bring their own.
        server_default=column.default if column.since > 1 else None,
        comment=column.meaning,
    )


def _type(column: Column) -> sqlalchemy.types.TypeEngine[Any]:
    if numeric := _NUMERIC.fullmatch(column.type):
        return sqlalchemy.Numeric(int(numeric[1]), int(numeric[2]))
    if column.type not in _TYPES:
        raise ContractInvalid(f"Column {column.name} has the type {column.type}.", f"Use one of {sorted(_TYPES)}.")
    return _TYPES[column.type]()


def _key_of(table: str) -> str:
    return f"{LIVE.stars}.{table}.{warehouse_tables()[table].key}"


def _files() -> list[Path]:
    return sorted(FOLDER.glob("[0-9]*_*.sql"))


def _version(path: Path) -> int:
    return int(path.name.partition("_")[0])
