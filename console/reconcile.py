"""Source and warehouse side by side: how many rows each table has."""

import sqlalchemy
from rich.table import Table

from console.render import cell, plain_table
from totes.contracts import WarehouseTable, warehouse_tables


def reconciliation(source: sqlalchemy.Connection, warehouse: sqlalchemy.Connection) -> Table:
    """For each table of the warehouse: the rows of totesys that it comes from, those that are current, all versions.

    Source and current rows are equal where the last execution saw everything that there is.
    """
    table = plain_table("Rows")
    for heading in ("warehouse table", "totesys table"):
        table.add_column(heading)
    for heading in ("in totesys", "current in the warehouse", "all versions"):
        table.add_column(heading, justify="right")
    for name, contract in warehouse_tables().items():
        if contract.source:
            counts = (
                count(source, contract.source),
                count(warehouse, _current(contract)),
                count(warehouse, name) if contract.is_fact else None,
            )
            table.add_row(name, contract.source, *(cell("", number) for number in counts))
    return table


def count(connection: sqlalchemy.Connection, relation: str) -> int:
    """The rows of a table or view."""
    query = sqlalchemy.select(sqlalchemy.func.count()).select_from(sqlalchemy.table(relation))
    return connection.execute(query).scalar_one()


def _current(contract: WarehouseTable) -> str:
    return contract.name.replace("fact_", "current_", 1)
