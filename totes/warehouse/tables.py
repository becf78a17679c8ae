"""The tables of the stars as SQLAlchemy knows them, by version of the warehouse's schema."""

import re
from functools import cache
from typing import Any

import sqlalchemy

from totes.contracts.declarations import Column, WarehouseTable, warehouse_tables

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


@cache
def metadata(stars: str, version: int) -> sqlalchemy.MetaData:
    """Returns the tables of a schema `stars`, with the columns that they had in a version."""
    found = sqlalchemy.MetaData(schema=stars)
    for table in warehouse_tables().values():
        if table.since <= version:
            columns = [_column(table, column, stars) for column in all_columns(table) if _is_there(column, version)]
            made = sqlalchemy.Table(table.name, found, *columns, comment=table.meaning)
            if table.is_fact:
                sqlalchemy.Index(f"{table.name}_versions", made.c[table.identity], made.c[table.key])
    return found


def all_columns(table: WarehouseTable) -> tuple[Column, ...]:
    """Returns a table's columns, and those that it has no more."""
    return (*table.columns, *table.former_columns)


def _is_there(column: Column, version: int) -> bool:
    return column.since <= version and (column.until is None or version < column.until)


def _column(table: WarehouseTable, column: Column, stars: str) -> sqlalchemy.Column[object]:
    return sqlalchemy.Column(
        column.name,
        _type(column),
        *([sqlalchemy.ForeignKey(_key_of(column.references, stars))] if column.references else []),
        primary_key=column.name == table.key,
        autoincrement=column.type == "serial",
        nullable=column.nullable,
        # Rows that were there before the column need a value; rows that come later bring their own.
        server_default=column.default if column.since > table.since else None,
        comment=column.meaning,
    )


def _type(column: Column) -> sqlalchemy.types.TypeEngine[Any]:
    if numeric := _NUMERIC.fullmatch(column.type):
        return sqlalchemy.Numeric(int(numeric[1]), int(numeric[2]))
    return _TYPES[column.type]()


def _key_of(table: str, stars: str) -> str:
    return f"{stars}.{table}.{warehouse_tables()[table].key}"
