"""Defines the stars' tables for SQLAlchemy, by version of the warehouse's schema."""

from functools import cache

import sqlalchemy

from totes.contracts.declarations import Column, WarehouseTable, warehouse_tables


class _Declared(sqlalchemy.types.UserDefinedType[object]):
    """A column's declared type, which is valid DDL as it is."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: object) -> str:
        return self.name


@cache
def metadata(stars: str, version: int) -> sqlalchemy.MetaData:
    """Returns the tables of the schema `stars`, with the columns that they have in a version."""
    found = sqlalchemy.MetaData(schema=stars)
    for table in warehouse_tables().values():
        if table.since <= version:
            columns = [_column(table, column, stars) for column in table.all_columns if _is_there(column, version)]
            made = sqlalchemy.Table(table.name, found, *columns, comment=table.meaning)
            if table.is_fact:
                sqlalchemy.Index(f"{table.name}_versions", made.c[table.identity], made.c[table.key])
    return found


def _is_there(column: Column, version: int) -> bool:
    return column.since <= version and (column.until is None or version < column.until)


def _column(table: WarehouseTable, column: Column, stars: str) -> sqlalchemy.Column[object]:
    return sqlalchemy.Column(
        column.name,
        _Declared(column.type_row.name),
        *([sqlalchemy.ForeignKey(_key_of(column.references, stars))] if column.references else []),
        primary_key=column.name == table.key,
        autoincrement=False,
        nullable=column.nullable,
        # Rows that are older than the column need a default. Newer rows bring a value of their own.
        server_default=column.default if column.since > table.since else None,
        comment=column.meaning,
    )


def _key_of(table: str, stars: str) -> str:
    return f"{stars}.{table}.{warehouse_tables()[table].key}"
