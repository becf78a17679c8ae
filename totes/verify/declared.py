"""Compares both databases with the declarations; reads only the databases' catalogues."""

from collections.abc import Iterator

import pg8000.dbapi

from totes.contracts.declarations import WarehouseTable, source_tables, warehouse_tables
from totes.errors import TotesError
from totes.postgres.driver import PipelineConnection
from totes.postgres.server_errors import server_message
from totes.source.catalogue import refusals
from totes.source.snapshot import read_catalogue
from totes.warehouse import rules, schema
from totes.warehouse.structure import Difference, Structure
from totes.warehouse.warehouse import Warehouse

_ANY = {"name": "", "since": 0, "shown": 1}


def source_refusals(connection: PipelineConnection) -> Iterator[TotesError]:
    """Yields each error that would stop Ingest: differences from the declarations, and tables its user may not read."""
    yield from refusals(source_tables(), read_catalogue(connection))


def missing_rights(warehouse: Warehouse, structure: Structure) -> Iterator[Difference]:
    """Yields each right that Load's user lacks, and each table that it does not own."""
    rights = warehouse.execute("rights", {"stars": warehouse.schemas.stars, "log": warehouse.schemas.log})
    for right in rights:
        yield Difference("the user lacks a right", f"{right.statement};", stops=True)
    for name, table in structure.stars.items():
        if not table.owned:
            owner = f"ALTER TABLE {name} OWNER TO the user that the secret names."
            yield Difference(f"{name} is owned by another user", owner, stops=True)


def differences(warehouse: Warehouse, structure: Structure, applied: int) -> Iterator[Difference]:
    """Yields each difference between the warehouse and the declarations, and each check that is not valid SQL there.

    An older schema is not compared: the next Load migrates it, and then compares it itself.

    Args:
        applied: the version of the warehouse's schema.
    """
    if applied == schema.latest_version():
        yield from schema.found_differences(structure)
        for fact in warehouse_tables().values():
            yield from _of_checks(warehouse, fact)


def _of_checks(warehouse: Warehouse, fact: WarehouseTable) -> Iterator[Difference]:
    for rule in fact.checks:
        try:
            with warehouse.connection.savepoint():
                query = rules.violators(warehouse, fact, rule)
                warehouse.connection.execute(f"EXPLAIN {query}", _ANY)
        except pg8000.dbapi.DatabaseError as error:
            found = f"check {rule.name} of {fact.name} is not valid SQL: {server_message(error)}"
            yield Difference(found, f"Correct it in schemas/warehouse/{fact.name}.toml.", stops=True)
