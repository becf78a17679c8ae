"""Names the values of totesys that can't be converted to UTF-8; never replaces them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pg8000.dbapi

from totes.contracts.declarations import SourceTable
from totes.errors import SHOWN, ContractViolation
from totes.postgres.connection import quoted
from totes.postgres.driver import PipelineConnection
from totes.postgres.server_errors import UNCONVERTIBLE, server_message, sqlstate
from totes.postgres.statements import sql
from totes.source.violations import Violation


@contextmanager
def named_in_source(connection: PipelineConnection, table: SourceTable, condition: str) -> Iterator[None]:
    """Names the values of totesys that stop a COPY because they can't be written in UTF-8.

    Args:
        condition: SQL that is true for the rows to read.

    Raises:
        ContractViolation: there are such values.
    """
    try:
        yield
    except pg8000.dbapi.Error as error:
        if sqlstate(error) not in UNCONVERTIBLE:
            raise
        count, first = _find(connection, table, condition)
        shown = "".join(f"; {violation}" for violation in first)
        more = f"; and {count - len(first)} more" if count > len(first) else ""
        raise ContractViolation(
            f"totesys holds text in {table.name} that can't be written in UTF-8: {server_message(error)}{shown}{more}.",
            "Correct the values in totesys; the next run takes them up.",
        ) from error


def _find(connection: PipelineConnection, table: SourceTable, condition: str) -> tuple[int, list[Violation]]:
    """Returns how many values can't be converted, and the first ones; 0 and none if the server refuses the search.

    The error has ended the transaction, so the search takes another one.
    """
    columns = [column for column in table.columns if column.type_row.is_text]
    statement = sql("source", "unconvertible").format(
        table=quoted(table.name),
        key=quoted(table.name, table.key),
        columns=", ".join(f"('{c.name}', CAST({quoted(table.name, c.name)} AS text))" for c in columns),
        condition=condition,
        shown=SHOWN,
    )
    try:
        connection.rollback()
        with connection.begin():
            connection.execute(statement)
            text = connection.execute("SELECT pg_catalog.current_setting('totes.unconvertible')").scalar()
    except pg8000.dbapi.Error:
        return 0, []
    found: dict[str, Any] = json.loads(text)
    expected = "a text that is one in UTF-8, too"
    return found["count"], [
        Violation(table.name, key, column, expected, rf"\x{hexadecimal}") for key, column, hexadecimal in found["first"]
    ]
