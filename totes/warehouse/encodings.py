"""Names the value that can't be converted from UTF-8 to the warehouse's encoding; never replaces it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pg8000.dbapi

from totes.contracts.declarations import Column
from totes.errors import ContractViolation
from totes.lake.parquet import batches
from totes.postgres.server_errors import UNCONVERTIBLE, server_message, sqlstate

# "COPY staged_dim_staff, line 3, column first_name", in any language that the server uses.
_WHERE = re.compile(r"(\w+)\W+\w+\W+(\d+)\W+\w+\W+(\w+)\W*$")


@contextmanager
def named_in_warehouse(paths: Iterable[Path], columns: Sequence[Column]) -> Iterator[None]:
    """Names the value that stops a COPY into the warehouse because the warehouse's encoding lacks a character.

    Args:
        paths: the files with the rows.
        columns: the files' columns; the first is the key.

    Raises:
        ContractViolation: there is such a value.
    """
    try:
        yield
    except pg8000.dbapi.Error as error:
        if sqlstate(error) not in UNCONVERTIBLE:
            raise
        where = ""
        if found := _WHERE.search(error.args[0].get("W", "")):
            table, row, column = found[1].removeprefix("staged_"), int(found[2]), found[3]
            where = f"; {table} {_nth(paths, columns[0].name, row)}: {column}"
        raise ContractViolation(
            f"The warehouse's encoding lacks a character of a text: {server_message(error)}{where}.",
            "Make a warehouse in UTF8 (CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8') and put its name into the "
            "secret. The next run loads it from batch 1.",
        ) from error


def _nth(paths: Iterable[Path], key: str, number: int) -> object:
    """Returns the key of the n-th row of some files, counted from 1."""
    for batch in chain.from_iterable(map(batches, paths)):
        if number <= batch.num_rows:
            return batch.column(key)[number - 1].as_py()
        number -= batch.num_rows
    return "?"
