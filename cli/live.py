"""Compares the declarations with both databases, for `totes check --live`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cli.render.terminal import say_warning
from totes.errors import TotesError
from totes.postgres.connection import TOTESYS, WAREHOUSE, connected
from totes.postgres.tls import weakness
from totes.runtime.secrets import Credentials, read_credentials
from totes.verify import declared
from totes.warehouse import schema
from totes.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from totes.runtime.names import Names


def source_findings(names: "Names") -> Iterator[str]:
    """Yields each difference between the declarations and totesys."""
    try:
        with connected(TOTESYS, _credentials(names.source_secret), "totes-check") as connection:
            yield from [f"totesys: {refusal}" for refusal in declared.source_refusals(connection)]
    except TotesError as error:
        yield f"totesys: {error}"


def warehouse_findings(names: "Names") -> Iterator[str]:
    """Yields each difference between the declarations and the warehouse, and each check that is invalid SQL there."""
    try:
        with connected(WAREHOUSE, _credentials(names.warehouse_secret), "totes-check") as connection:
            connection.execute("SET TRANSACTION READ ONLY")
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
    for each in declared.missing_rights(warehouse, structure):
        yield f"{each.found}. {each.remedy}"
    for each in declared.differences(warehouse, structure, applied):
        yield f"{each.found}. {each.remedy}"
