"""Names values that can't be converted from totesys to UTF-8, or from UTF-8 to the warehouse; never replaces them."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pg8000.dbapi
import sqlalchemy
from sqlalchemy.exc import DBAPIError

from totes.contracts.declarations import Column, SourceTable
from totes.errors import ContractBroken
from totes.lake.parquet import batches
from totes.postgres.connection import quoted, server_message, sqlstate
from totes.source.validation import SHOWN, Violation

_UNCONVERTIBLE = ("22021", "22P05")
_FIND = Path(__file__).parent / "sql" / "unconvertible.sql"
# "COPY staged_dim_staff, line 3, column first_name", in whatever language the server speaks.
_WHERE = re.compile(r"(\w+)\W+\w+\W+(\d+)\W+\w+\W+(\w+)\W*$")


@contextmanager
def named_in_source(connection: sqlalchemy.Connection, table: SourceTable, condition: str) -> Iterator[None]:
    """Names the values of totesys that stop a COPY because they can't be written in UTF-8.

    Args:
        condition: SQL that is true of the rows to read.

    Raises:
        ContractBroken: there are such values.
    """
    try:
        yield
    except pg8000.dbapi.Error as error:
        if sqlstate(error) not in _UNCONVERTIBLE:
            raise
        count, first = _find(connection.engine, table, condition)
        shown = "".join(f"; {violation}" for violation in first)
        more = f"; and {count - len(first)} more" if count > len(first) else ""
        raise ContractBroken(
            f"totesys holds text in {table.name} that can't be written in UTF-8: {server_message(error)}{shown}{more}.",
            "Correct the values in totesys; the next run takes them up.",
        ) from error


@contextmanager
def named_in_warehouse(path: Path, columns: Sequence[Column]) -> Iterator[None]:
    """Names the value that stops a COPY into the warehouse because the warehouse's encoding lacks a character.

    Args:
        path: the file with the rows.
        columns: the file's columns; the first is the key.

    Raises:
        ContractBroken: there is such a value.
    """
    try:
        yield
    except pg8000.dbapi.Error as error:
        if sqlstate(error) not in _UNCONVERTIBLE:
            raise
        where = ""
        if found := _WHERE.search(error.args[0].get("W", "")):
            table, row, column = found[1].removeprefix("staged_"), int(found[2]), found[3]
            where = f"; {table} {_nth(path, columns[0].name, row)}: {column}"
        raise ContractBroken(
            f"The warehouse's encoding lacks a character of a text: {server_message(error)}{where}.",
            "Make a warehouse in UTF8 (CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8') and put its name into the "
            "secret. The next run loads it from batch 1.",
        ) from error


def _find(engine: sqlalchemy.Engine, table: SourceTable, condition: str) -> tuple[int, list[Violation]]:
    """Returns how many such values there are, and the first ones; 0 and none if the server refuses the search.

    The error ended the transaction and the connection, so this opens another one.
    """
    columns = [column for column in table.columns if column.type_row.is_text]
    statement = _FIND.read_text(encoding="utf-8").format(
        table=quoted(table.name),
        key=quoted(table.name, table.key),
        columns=", ".join(f"('{c.name}', CAST({quoted(table.name, c.name)} AS text))" for c in columns),
        condition=condition,
        shown=SHOWN,
    )
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
            text = connection.exec_driver_sql("SELECT pg_catalog.current_setting('totes.unconvertible')").scalar_one()
    except DBAPIError:
        return 0, []
    found: dict[str, Any] = json.loads(text)
    expected = "a text that is one in UTF-8, too"
    return found["count"], [
        Violation(table.name, key, column, expected, rf"\x{hexadecimal}") for key, column, hexadecimal in found["first"]
    ]


def _nth(path: Path, key: str, number: int) -> object:
    """Returns the key of a file's n-th row, counted from 1."""
    for batch in batches(path):
        if number <= batch.num_rows:
            return batch.column(key)[number - 1].as_py()
        number -= batch.num_rows
    return "?"
