"""The facts' views and functions: the current state, the history, and the state as of a batch or moment."""

from collections.abc import Iterator
from contextlib import contextmanager

import pg8000.dbapi

from totes.contracts import declarations
from totes.contracts.declarations import ContractInvalid, WarehouseTable, warehouse_tables
from totes.postgres.connection import quoted
from totes.postgres.server_errors import DEPENDED_UPON, server_message, sqlstate
from totes.warehouse.warehouse import Warehouse

# PostgreSQL raises the first if something needs a dropped object, the second if a view needs a column that is retyped.
_NEEDED = (DEPENDED_UPON, "0A000")
_OTHER_COLUMNS = "42P16"

# Each right is a privilege, a view, a role, and `WITH GRANT OPTION` if the role may grant it.
Rights = set[tuple[str, ...]]


def view_names(table: WarehouseTable) -> list[str]:
    """Returns the names of a table's views; a dimension has none."""
    entity = table.name.removeprefix("fact_")
    return [f"current_{entity}", f"{entity}_history"] if table.is_fact else []


def make_views(warehouse: Warehouse, fact: WarehouseTable) -> None:
    """Makes a fact's views and functions, and replaces existing ones.

    Raises:
        ContractInvalid: a view's columns have changed, and something needs the old view.
    """
    ddl = _ddl(warehouse, fact)
    try:
        with warehouse.connection.savepoint():
            warehouse.run(ddl)
    except pg8000.dbapi.DatabaseError as error:
        # PostgreSQL replaces a view only if the new one has the same columns, followed by any new ones.
        if sqlstate(error) != _OTHER_COLUMNS:
            raise
        with used_by_nobody(f"The old view of {fact.name} can't be dropped"):
            drop_views(warehouse, fact)
        warehouse.run(ddl)


def drop_views(warehouse: Warehouse, table: WarehouseTable) -> None:
    """Drops a fact's views."""
    for view in view_names(table):
        warehouse.run(f"DROP VIEW IF EXISTS {warehouse.star(view)}")


@contextmanager
def used_by_nobody(what: str) -> Iterator[None]:
    """Raises an error that names the objects that prevent a change.

    Args:
        what: the change that can't be made, as the beginning of a sentence.

    Raises:
        ContractInvalid: something needs the object to change.
    """
    try:
        yield
    except pg8000.dbapi.DatabaseError as error:
        if sqlstate(error) not in _NEEDED:
            raise
        raise ContractInvalid(
            f"{what}, because something needs it: {server_message(error)}. Nothing was changed.",
            "Let its owner drop it, wait for the next execution, which brings the schema forward, and make it again.",
        ) from error


def read_rights(warehouse: Warehouse) -> Rights:
    """Returns the privileges that other roles have on the facts' views, and whether they may grant them."""
    names = [warehouse.star(view) for table in warehouse_tables().values() for view in view_names(table)]
    return {tuple(row) for row in warehouse.execute("view_rights", {"views": names})}


def restore_rights(warehouse: Warehouse, before: Rights) -> None:
    """Restores the rights that each view had before it was made again."""
    views = {view for _, view, _, _ in before}
    now = {right for right in read_rights(warehouse) if right[1] in views}
    for privilege, view, role, _ in now - before:
        warehouse.run(f"REVOKE {privilege} ON {view} FROM {role}")
    for privilege, view, role, more in before - now:
        warehouse.run(f"GRANT {privilege} ON {view} TO {role}{more}")


def _ddl(warehouse: Warehouse, fact: WarehouseTable) -> str:
    entity = fact.name.removeprefix("fact_")
    return warehouse.schemas.fill_in(
        (declarations.SCHEMAS / "warehouse" / "views.sql").read_text(encoding="utf-8"),
        fact=quoted(fact.name),
        fact_name=f"'{fact.name}'",
        current=quoted(f"current_{entity}"),
        history=quoted(f"{entity}_history"),
        as_of=quoted(f"{entity}_as_of"),
        record_id=quoted(fact.key),
        business_id=quoted(fact.identity),
    )
