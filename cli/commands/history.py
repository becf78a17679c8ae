"""`totes history`: every version of one order, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.deployment import target, warehouse
from cli.errors import CommandFailed, Misused
from cli.render.terminal import AsJson, Row, cell, heading, plain_table, say_json, screen
from totes.contracts.declarations import warehouse_tables

if TYPE_CHECKING:
    from totes.postgres.driver import PipelineConnection

BOOKKEEPING = ("version", "batch_id", "valid_from", "valid_to", "deleted")
STAMPS = ("created", "last_updated")
VERSION_WIDTH = 26


@dataclass(frozen=True)
class Entity:
    """What has a history: a fact, under the name of its views."""

    name: str
    words: str

    @property
    def key(self) -> str:
        return f"{self.name}_id"

    @property
    def ids(self) -> range:
        """Returns what its ids can be."""
        return warehouse_tables()[f"fact_{self.name}"].column(self.key).type_row.ids


SALES_ORDER = Entity("sales_order", "sales order")
PURCHASE_ORDER = Entity("purchase_order", "purchase order")
PAYMENT = Entity("payment", "payment")


def history(
    context: typer.Context,
    order: Annotated[int, typer.Argument(help="The id in totesys, for instance a sales_order_id.")],
    purchase: Annotated[bool, typer.Option("--purchase", help="A purchase order, not a sales order.")] = False,
    payment: Annotated[bool, typer.Option("--payment", help="A payment, not a sales order.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every version of an order, and what changed from one to the next.

    A version holds from the snapshot that first showed it until the one that showed the next, or the order's
    deletion. last_updated is the back office's own stamp: amended orders keep it.

    Exit code: 1 when the warehouse has never seen the order.
    """
    if purchase and payment:
        raise Misused("Give --purchase or --payment, not both.")
    entity = PURCHASE_ORDER if purchase else PAYMENT if payment else SALES_ORDER
    if order not in entity.ids:
        raise Misused(f"There can be no {entity.words} {order}: ids are from {entity.ids[0]} to {entity.ids[-1]}.")
    with warehouse(target(context).connect()) as connection:
        versions = read_versions(connection, entity, order)
    if not versions:
        raise CommandFailed(f"The warehouse has never seen {entity.words} {order}.")
    if as_json:
        say_json({"entity": entity.name, "id": order, "versions": with_changes(versions)})
    else:
        show_versions(screen(), entity, order, versions)


def read_versions(connection: "PipelineConnection", entity: Entity, order: int) -> list[dict[str, Any]]:
    """The rows of the history view for one id, oldest first; empty where it was never seen."""
    query = f"SELECT * FROM {entity.name}_history WHERE {entity.key} = :id ORDER BY version"  # noqa: S608  an entity's own names
    return connection.execute(query, {"id": order}).mappings()


def with_changes(versions: Sequence[Row]) -> list[dict[str, Any]]:
    """The versions, each with the list of columns in which it differs from the one before."""
    before = [versions[0], *versions]
    return [
        {**version, "changed": [column for column in _values(version) if version[column] != previous[column]]}
        for previous, version in zip(before, versions, strict=False)
    ]


def show_versions(console: Console, entity: Entity, order: int, versions: Sequence[Row]) -> None:
    """The versions side by side, as many as fit at a time; what changed is marked with an arrow."""
    compared = with_changes([_with_stamps_joined(version) for version in versions])
    stamps = {version["last_updated"] for version in compared}
    count = len(versions)
    console.print(Text(f"{entity.words.capitalize()} {order}: {count} version{'s' * (count > 1)}", "bold"))
    at_once = max(1, (console.width - VERSION_WIDTH) // VERSION_WIDTH)
    for first in range(0, count, at_once):
        console.print(_versions_table(compared[first : first + at_once]))
    if count > 1 and len(stamps) == 1:
        console.print(Text("One last_updated in all versions: the back office stamped no change.", "dim"))


def _versions_table(versions: Sequence[Row]) -> Table:
    table = plain_table()
    table.add_column("version")
    for version in versions:
        table.add_column(str(version["version"]), overflow="fold")
    for column in (*BOOKKEEPING[1:], *_values(versions[0])):
        table.add_row(heading(column), *(_compared(version, column) for version in versions))
    return table


def _with_stamps_joined(version: Row) -> dict[str, Any]:
    """A stamp's day and time of day, which are two columns of a fact, as one moment."""
    joined: dict[str, Any] = {}
    for column, value in version.items():
        stamp = column.removesuffix("_time")
        if stamp in STAMPS:
            joined[stamp] = datetime.combine(joined.pop(f"{stamp}_date"), value)
        else:
            joined[column] = value
    return joined


def _compared(version: Row, column: str) -> Text:
    shown = cell(column, version[column])
    return Text(f"→ {shown}", "bold yellow") if column in version["changed"] else shown


def _values(version: Row) -> list[str]:
    """The columns that the source fills: without the bookkeeping and the warehouse's own record id."""
    return [
        column
        for column in version
        if column not in BOOKKEEPING and column != "changed" and not column.endswith("_record_id")
    ]
