"""Names the lake's views as the warehouse names its own."""

from typing import Any

from totes.contracts.declarations import warehouse_tables

Rows = list[tuple[Any, ...]]

VIEWS = {
    f"current_{table.name.removeprefix('fact_')}" if table.is_fact else table.name: table
    for table in warehouse_tables().values()
}
# A sales order that is deleted and comes back.
BACK = 12
