"""Brings the warehouse's schema forward, version by version, never back.

A migration to a version has three steps. It adds the tables and columns whose `since` is the version. It runs the files
`schemas/warehouse/<version>_*.sql`. It drops the columns whose `until` is the version. A new schema takes the same
steps from version 1, so it ends with the same columns in the same order. At the end, the migration makes views and
comments again. If a column is declared with a wider type than the warehouse has, it gets that type in place.

SQLAlchemy writes the DDL, and our own connection runs it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import sqlalchemy
from sqlalchemy import ClauseElement
from sqlalchemy.schema import CreateColumn, SetColumnComment, SetTableComment

from totes.contracts import declarations
from totes.contracts.declarations import Column, WarehouseTable, warehouse_tables
from totes.postgres.connection import quoted
from totes.warehouse.schema import column_names, ddl_files, version_of
from totes.warehouse.tables import metadata
from totes.warehouse.views import drop_views, make_views, read_rights, restore_rights, used_by_nobody
from totes.warehouse.warehouse import Warehouse

_DIALECT = sqlalchemy.make_url("postgresql+pg8000://").get_dialect()()


def bring_from(warehouse: Warehouse, applied: int, wider: Mapping[str, Sequence[Column]], latest: int) -> None:
    """Brings the schema, its views and its comments forward from a version to the latest.

    Args:
        wider: the columns that get a wider type, by table.
    """
    rights = read_rights(warehouse)
    for name, columns in wider.items():
        _widen(warehouse, warehouse_tables()[name], columns)
    for version in range(applied + 1, latest + 1):
        _bring_forward(warehouse, version)
    for table in warehouse_tables().values():
        if table.is_fact:
            make_views(warehouse, table)
    _comment(warehouse, latest)
    restore_rights(warehouse, rights)


def _bring_forward(warehouse: Warehouse, version: int) -> None:
    stars = warehouse.schemas.stars
    if version == 1:
        _run(warehouse, declarations.SCHEMAS / "warehouse" / "schema_version.sql")
    tables = [table for table in warehouse_tables().values() if table.since <= version]
    for table in tables:
        made = metadata(stars, version).tables[f"{stars}.{table.name}"]
        if table.since == version:
            made.create(
                sqlalchemy.create_mock_engine("postgresql+pg8000://", lambda ddl, *_: warehouse.run(_text(ddl)))
            )
            continue
        for column in table.all_columns:
            if column.since == version:
                _add_column(warehouse, made, column)
    for path in ddl_files():
        if version_of(path) == version:
            _run(warehouse, path)
    for table in tables:
        for column in table.former_columns:
            if column.until == version:
                _drop_column(warehouse, table, column)
    warehouse.execute("add_schema_version", {"version": version})


def _add_column(warehouse: Warehouse, table: sqlalchemy.Table, column: Column) -> None:
    definition = _text(CreateColumn(table.c[column.name]))
    if column.references:
        key = warehouse_tables()[column.references].key
        definition += f" REFERENCES {warehouse.star(column.references)} ({quoted(key)})"
    warehouse.run(f"ALTER TABLE {warehouse.star(table.name)} ADD COLUMN {definition}")


def _drop_column(warehouse: Warehouse, table: WarehouseTable, column: Column) -> None:
    """Drops a column and the fact's views, which show it. They are made again after the last version."""
    with used_by_nobody(f"Column {table.name}.{column.name} can't be dropped"):
        drop_views(warehouse, table)
        warehouse.run(f"ALTER TABLE {warehouse.star(table.name)} DROP COLUMN {quoted(column.name)}")


def _widen(warehouse: Warehouse, table: WarehouseTable, columns: Sequence[Column]) -> None:
    """Gives columns their declared types in one rewrite of the table. Its views are made again at the end."""
    changes = []
    for column in columns:
        changes.append(f"ALTER COLUMN {quoted(column.name)} TYPE {column.type_row.name}")
        if column.default is not None and column.since > table.since:
            # Otherwise the default stays a number of the narrower type, unlike in a new schema.
            changes.append(f"ALTER COLUMN {quoted(column.name)} SET DEFAULT '{column.default}'")
    names = column_names({table.name: columns})
    with used_by_nobody(f"{names} can't be brought forward to the declared type"):
        drop_views(warehouse, table)
        warehouse.run(f"ALTER TABLE {warehouse.star(table.name)} {', '.join(changes)}")


def _comment(warehouse: Warehouse, version: int) -> None:
    tables = metadata(warehouse.schemas.stars, version).tables.values()
    comments: list[ClauseElement] = [
        *(SetTableComment(table) for table in tables),
        *(SetColumnComment(column) for table in tables for column in table.columns),
    ]
    warehouse.run(";".join(map(_text, comments)))


def _text(ddl: ClauseElement) -> str:
    return str(ddl.compile(dialect=_DIALECT))


def _run(warehouse: Warehouse, ddl: Path) -> None:
    warehouse.run(warehouse.schemas.fill_in(ddl.read_text(encoding="utf-8")))
