"""`totes check`: finds mistakes in the declarations, and differences between them and the databases."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import sqlalchemy
import typer
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from cli.deployment import target
from cli.errors import FAILED
from cli.render.terminal import complaints, say_warning, screen
from totes.contracts.declarations import WarehouseTable, read_declarations, source_tables, warehouse_tables
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


def check(
    context: typer.Context,
    live: Annotated[
        bool, typer.Option("--live", help="Also compare them with the stage's source and warehouse.")
    ] = False,
) -> None:
    """Check the declarations in schemas/: names, types, references, origins, versions and checks.

    Prints every mistake with file, line and the nearest name. With --live, also reads the catalogues of both
    databases, with the users of the stage's secrets: tables, columns, types and rights, and whether the warehouse
    understands the checks. Writes nothing.

    Exit code: 1 when there are findings.
    """
    declarations = read_declarations()
    found = [f"schemas/{finding}" for finding in declarations.findings]
    if live and not found:
        names = target(context).connect()
        with complaints().status("connecting"):
            found = [*_of_source(names), *_of_warehouse(names)]
    console = screen()
    for line in found:
        console.print(Text(line), soft_wrap=True)
    if live and declarations.findings:
        console.print(Text("The databases were not looked at: correct the declarations first."))
    tables = len(declarations.source) + len(declarations.warehouse)
    if found:
        console.print(Text(f"{len(found)} finding{'s' * (len(found) > 1)}.", "bold red"))
        raise typer.Exit(FAILED)
    console.print(Text(f"{tables} declarations, no findings.", "bold green"))


def _of_source(names: "Names") -> Iterator[str]:
    try:
        with connected(TOTESYS, _credentials(names.source_secret), "totes-check") as connection:
            found = read_catalogue(connection)
        yield from (f"totesys: {refusal}" for refusal in refusals(source_tables(), found))
    except TotesError as error:
        yield f"totesys: {error}"


def _of_warehouse(names: "Names") -> Iterator[str]:
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
