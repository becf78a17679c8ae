"""The warehouse's schema: made from the contracts, brought forward version by version, never back.

A migration to a version does three things: it adds the tables and columns whose `since` is the version, runs the files
`schemas/warehouse/<version>_*.sql`, and drops the columns whose `until` is the version. A schema that is made
from empty goes the same way, so it ends with the same columns in the same order. Views and comments are made again at
the end.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn, SetColumnComment, SetTableComment

from totes.contracts.consistency import log_tables
from totes.contracts.declarations import SCHEMAS, Column, ContractInvalid, WarehouseTable, warehouse_tables
from totes.errors import DatabaseFailed, LogBroken, VersionUnknown
from totes.postgres import locks
from totes.postgres.connection import quoted, server_message, sqlstate
from totes.warehouse.structure import Difference, Structure, differences, read_structure

FOLDER = SCHEMAS / "warehouse"
_SQL = Path(__file__).parent / "sql"
_DEPENDED_UPON = "2BP01"
_OTHER_COLUMNS = "42P16"
_RIGHTS = sqlalchemy.text("""
    SELECT given.privilege_type,
           CAST(relation.oid AS regclass)::text,
           CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(CAST(given.grantee AS regrole) AS text) END,
           CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM pg_catalog.unnest(CAST(:views AS text[])) AS name
    JOIN pg_catalog.pg_class AS relation ON relation.oid = pg_catalog.to_regclass(name)
    CROSS JOIN pg_catalog.aclexplode(relation.relacl) AS given
    WHERE given.grantee <> relation.relowner
""")
# "totes" in hexadecimal: one lock for all that changes the live warehouse.
LOCK = 0x746F746573


@cache
def metadata(version: int) -> sqlalchemy.MetaData:
    """The tables of the stars as SQLAlchemy knows them, with the columns that they had in a version."""
    stars = sqlalchemy.MetaData(schema=LIVE.stars)
    for table in warehouse_tables().values():
        if table.since <= version:
            columns = [_column(table, column) for column in _all_columns(table) if _is_there(column, version)]
            made = sqlalchemy.Table(table.name, stars, *columns, comment=table.meaning)
            if table.is_fact:
                sqlalchemy.Index(f"{table.name}_versions", made.c[table.identity], made.c[table.key])
    return stars


def latest_version() -> int:
    """The version that this release knows."""
    declared = [
        version
        for table in warehouse_tables().values()
        for version in (table.since, *(max(each.since, each.until or 1) for each in _all_columns(table)))
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

    It locks tables and views against readers for a moment. If somebody uses them, it lets other readers pass and tries
    again, for LOCK_SECONDS.

    Raises:
        VersionUnknown: a newer release has been here.
        LogBroken: the schema's recorded versions have a gap.
        DatabaseFailed: somebody else's table or view has the name of one of ours.
        ContractInvalid: a table is not as declared, so Load would fail, or a column to drop is still used.
    """
    latest = latest_version()
    with connection.begin():
        structure = read(connection)
        if _applied(connection, structure) == latest:
            _require_declared(structure)
            return
        lock(connection)
        # Another execution may have done it while this one waited.
        structure = read(connection)
        applied = _applied(connection, structure)
        require_known(structure, applied)
        _require_free(structure, applied)
        if applied < latest:
            locks.change_when_free(connection, lambda: _bring_from(connection, applied))
        _require_declared(read(connection))


def applied_version(connection: sqlalchemy.Connection) -> int:
    """The version that the schema has; 0 where there is none. It may be one that this release does not know.

    Raises:
        LogBroken, DatabaseFailed: see `migrate`.
    """
    return _applied(connection, read(connection))


def read(connection: sqlalchemy.Connection) -> Structure:
    """Reads the warehouse's relations from its catalogue."""
    at = place(connection)
    names = [name for table in warehouse_tables().values() for name in (table.name, *_view_names(table))]
    return read_structure(connection, at.stars, at.log, names)


def found_differences(structure: Structure) -> list[Difference]:
    """Returns the differences between the warehouse, which must have this release's version, and the declarations."""
    return [*differences(warehouse_tables(), structure, latest_version() + 1)]


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


def _applied(connection: sqlalchemy.Connection, structure: Structure) -> int:
    if "schema_version" not in structure.log:
        return 0
    log = place(connection).log
    if not structure.has_our_log:
        raise DatabaseFailed(
            f"The warehouse has a table {log}.schema_version that is not the one of totes: its columns are others, or "
            f"{log}.batch is not beside it. Nothing was changed.",
            "Let the warehouse's secret name a database of its own, or rename that schema.",
        )
    versions = [*connection.scalars(statement(connection, "schema_versions"))]
    last = max(versions, default=0)
    if not versions or (last <= latest_version() and versions != [*range(1, last + 1)]):
        raise LogBroken(
            f"{log}.schema_version holds the versions {', '.join(map(str, versions)) or 'none'}, and should hold each "
            "from 1 on. Nothing was changed.",
            f"Restore the rows of {log}.schema_version, or drop the warehouse's tables and the schema {log}: the next "
            "run loads it again from batch 1.",
        )
    return last


def require_known(structure: Structure, applied: int) -> None:
    """Raises VersionUnknown if a newer release than this one has been here."""
    if applied <= latest_version():
        return
    undeclared = [
        f"{table.name}.{name}"
        for table in warehouse_tables().values()
        if table.name in structure.stars
        for name in structure.stars[table.name].columns
        if name not in {column.name for column in table.columns}
    ]
    found = f"The warehouse's schema has version {applied}; this release knows up to {latest_version()}."
    remedy = "Deploy the release that made it, or a later one."
    if undeclared:
        found += f" It has {', '.join(undeclared)}, which schemas/ does not declare."
        remedy += (
            f" To drop a column, restore its line in schemas/ and add `until = {applied + 1}`: the next Load then "
            "drops it."
        )
    raise VersionUnknown(found, remedy)


def _require_free(structure: Structure, applied: int) -> None:
    """Raises DatabaseFailed if something that a migration is about to make is there already."""
    names = [name for path in _files() if _version(path) > applied for name in log_tables(path)]
    taken = [f"{LIVE.log}.{name}" for name in names if name in structure.log]
    for table in warehouse_tables().values():
        if table.since > applied:
            taken += [name for name in (table.name, *_view_names(table)) if name in structure.stars]
    if taken:
        raise DatabaseFailed(
            f"The warehouse has {', '.join(taken)} already, which no migration of totes made. Nothing was changed.",
            "Rename or drop them, or let the warehouse's secret name a database of its own.",
        )


def _require_declared(structure: Structure) -> None:
    if stopping := [each for each in found_differences(structure) if each.stops]:
        raise ContractInvalid(
            f"The warehouse is not as declared: {'; '.join(each.found for each in stopping)}. Nothing was changed.",
            " ".join(dict.fromkeys(each.remedy for each in stopping)),
        )


def _bring_from(connection: sqlalchemy.Connection, applied: int) -> None:
    """Brings the schema forward from a version to the latest, and its views and comments with it."""
    latest = latest_version()
    rights = _rights(connection)
    for version in range(applied + 1, latest + 1):
        _bring_forward(connection, version)
    for table in warehouse_tables().values():
        if table.is_fact:
            _make_views(connection, table)
    _comment(connection, latest)
    _restore_rights(connection, rights)


def _bring_forward(connection: sqlalchemy.Connection, version: int) -> None:
    if version == 1:
        _run(connection, FOLDER / "schema_version.sql")
    tables = [table for table in warehouse_tables().values() if table.since <= version]
    for table in tables:
        made = metadata(version).tables[f"{LIVE.stars}.{table.name}"]
        if table.since == version:
            made.create(connection)
            continue
        for column in _all_columns(table):
            if column.since == version:
                _add_column(connection, made, column)
    for path in _files():
        if _version(path) == version:
            _run(connection, path)
    for table in tables:
        for column in table.former_columns:
            if column.until == version:
                _drop_column(connection, table, column)
    connection.execute(statement(connection, "add_schema_version"), {"version": version})


def _add_column(connection: sqlalchemy.Connection, table: sqlalchemy.Table, column: Column) -> None:
    definition = f"{CreateColumn(table.c[column.name]).compile(dialect=connection.dialect)}"
    if column.references:
        key = warehouse_tables()[column.references].key
        definition += f" REFERENCES {star(connection, column.references)} ({quoted(key)})"
    connection.exec_driver_sql(f"ALTER TABLE {star(connection, table.name)} ADD COLUMN {definition}")


def _drop_column(connection: sqlalchemy.Connection, table: WarehouseTable, column: Column) -> None:
    """Drops a column and the fact's views, which show it; the views are made again after the last version."""
    with _used_by_nobody(f"Column {table.name}.{column.name}"):
        _drop_views(connection, table)
        connection.exec_driver_sql(f"ALTER TABLE {star(connection, table.name)} DROP COLUMN {quoted(column.name)}")


def _make_views(connection: sqlalchemy.Connection, fact: WarehouseTable) -> None:
    """Makes a fact's views and functions, in the place of those that are there."""
    ddl = views(connection, fact)
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(ddl)
    except DBAPIError as error:
        # A view can be replaced only by one that has the same columns and then more.
        if sqlstate(error) != _OTHER_COLUMNS:
            raise
        with _used_by_nobody(f"The old view of {fact.name}"):
            _drop_views(connection, fact)
        connection.exec_driver_sql(ddl)


def _drop_views(connection: sqlalchemy.Connection, table: WarehouseTable) -> None:
    for view in _view_names(table):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {star(connection, view)}")


@contextmanager
def _used_by_nobody(what: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) != _DEPENDED_UPON:
            raise
        raise ContractInvalid(
            f"{what} can't be dropped, because something needs it: {server_message(error)}. Nothing was changed.",
            "Let its owner drop it, wait for the next execution, which brings the schema forward, and make it again.",
        ) from error


def _comment(connection: sqlalchemy.Connection, version: int) -> None:
    for table in metadata(version).tables.values():
        connection.execute(SetTableComment(table))
        for column in table.columns:
            connection.execute(SetColumnComment(column))


def _rights(connection: sqlalchemy.Connection) -> set[tuple[str, ...]]:
    """Returns the privileges that other roles have on the facts' views, and whether they may grant them."""
    names = [star(connection, view) for table in warehouse_tables().values() for view in _view_names(table)]
    return {tuple(row) for row in connection.execute(_RIGHTS, {"views": names})}


def _restore_rights(connection: sqlalchemy.Connection, before: set[tuple[str, ...]]) -> None:
    """Gives a view that was made again the rights that it had."""
    views = {view for _, view, _, _ in before}
    now = {right for right in _rights(connection) if right[1] in views}
    for privilege, view, role, _ in now - before:
        connection.exec_driver_sql(f"REVOKE {privilege} ON {view} FROM {role}")
    for privilege, view, role, more in before - now:
        connection.exec_driver_sql(f"GRANT {privilege} ON {view} TO {role}{more}")


def _run(connection: sqlalchemy.Connection, ddl: Path) -> None:
    connection.exec_driver_sql(placed(connection, ddl.read_text(encoding="utf-8")))


def _all_columns(table: WarehouseTable) -> tuple[Column, ...]:
    return (*table.columns, *table.former_columns)


def _is_there(column: Column, version: int) -> bool:
    return column.since <= version and (column.until is None or version < column.until)


def _view_names(table: WarehouseTable) -> list[str]:
    entity = table.name.removeprefix("fact_")
    return [f"current_{entity}", f"{entity}_history"] if table.is_fact else []


def _column(table: WarehouseTable, column: Column) -> sqlalchemy.Column[object]:
    references = [sqlalchemy.ForeignKey(_key_of(column.references))] if column.references else []
    return sqlalchemy.Column(
        column.name,
        _Declared(column.type_row.name),
        *references,
        primary_key=column.name == table.key,
        autoincrement=False,
        nullable=column.nullable,
        # Rows that were there before the column need a value; rows that come later bring their own.
        server_default=column.default if column.since > table.since else None,
        comment=column.meaning,
    )


class _Declared(sqlalchemy.types.UserDefinedType[object]):
    """A column's type as its declaration says it, which is DDL."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: object) -> str:
        return self.name


def _key_of(table: str) -> str:
    return f"{LIVE.stars}.{table}.{warehouse_tables()[table].key}"


def _files() -> list[Path]:
    return sorted(FOLDER.glob("[0-9]*_*.sql"))


def _version(path: Path) -> int:
    return int(path.name.partition("_")[0])
