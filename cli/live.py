"""Compares the declarations with both databases, for `totes check --live`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from cli.render.terminal import say_warning
from totes.contracts.declarations import WarehouseTable, source_tables, warehouse_tables
from totes.errors import TotesError
from totes.postgres.connection import TOTESYS, WAREHOUSE, connected
from totes.postgres.server_errors import server_message
from totes.postgres.tls import weakness
from totes.runtime.secrets import Credentials, read_credentials
from totes.source.snapshot import read_catalogue
from totes.source.validation import refusals
from totes.warehouse import rules, schema
from totes.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from totes.runtime.names import Names

_ANY = {"name": "", "since": 0, "shown": 1}


def source_findings(names: "Names") -> Iterator[str]:
    """Yields each difference between the declarations and totesys."""
    try:
        with connected(TOTESYS, _credentials(names.source_secret), "totes-check") as connection:
            found = read_catalogue(connection)
        yield from (f"totesys: {refusal}" for refusal in refusals(source_tables(), found))
    except TotesError as error:
        yield f"totesys: {error}"


def warehouse_findings(names: "Names") -> Iterator[str]:
    """Yields each difference between the declarations and the warehouse, and each check that is no SQL there."""
    try:
        with connected(WAREHOUSE, _credentials(names.warehouse_secret), "totes-check") as connection:
            connection.execute(sqlalchemy.text("SET TRANSACTION READ ONLY"))
            yield from (f"warehouse: {line}" for line in _of_tables(Warehouse(connection)))
    except TotesError as error:
        yield f"warehouse: {error}"


def _credentials(secret_id: str) -> Credentials:
    credentials = read_credentials(secret_id)
    if weak := weakness(credentials):
        say_warning(f"{secret_id}: {weak}.")
    return credentials


def _of_tables(warehouse: Warehouse) -> Iterator[str]:
    structure, applied = schema.read(warehouse), schema.applied_version(warehouse)
    schema.require_known(structure, applied)
    rights = warehouse.execute("rights", {"stars": warehouse.schemas.stars, "log": warehouse.schemas.log})
    yield from (f"the user lacks a right. {right.statement};" for right in rights)
    for name, table in structure.stars.items():
        if not table.owned:
            yield f"{name} is owned by somebody else. ALTER TABLE {name} OWNER TO the user that the secret names."
    # An older schema is brought forward by the next Load, which then compares by itself.
    if applied == schema.latest_version():
        yield from (f"{each.found}. {each.remedy}" for each in schema.found_differences(structure))
        for fact in warehouse_tables().values():
            yield from _of_checks(warehouse, fact)


def _of_checks(warehouse: Warehouse, fact: WarehouseTable) -> Iterator[str]:
    for rule in fact.checks:
        try:
            with warehouse.connection.begin_nested():
                query = rules.violators(warehouse, fact, rule)
                warehouse.connection.execute(sqlalchemy.text(f"EXPLAIN {query.text}"), _ANY)
        except DBAPIError as error:
            yield f"check {rule.name} of {fact.name} is not SQL: {server_message(error)}."
