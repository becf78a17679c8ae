"""`totes history`: shows an order's versions side by side, or lists the amended orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.deployment import Target, target, warehouse
from cli.errors import CommandFailed, Misused
from cli.render.terminal import AsCsv, AsJson, Row, cell, heading, plain_table, rows_table, say_csv, say_json, screen
from cli.versions import (
    AMENDED,
    BOOKKEEPING,
    ORDERS,
    PAYMENT,
    PURCHASE_ORDER,
    SALES_ORDER,
    Entity,
    read_amended,
    read_versions,
    values_of,
    with_changes,
)

STAMPS = ("created", "last_updated")
VERSION_WIDTH = 26
LIMIT = 20


def history(
    context: typer.Context,
    order: Annotated[int | None, typer.Argument(help="An id in totesys, for instance a sales_order_id.")] = None,
    amended: Annotated[bool, typer.Option("--amended", help="List the amended sales and purchase orders.")] = False,
    purchase: Annotated[bool, typer.Option("--purchase", help="Show a purchase order, not a sales order.")] = False,
    payment: Annotated[bool, typer.Option("--payment", help="Show a payment, not a sales order.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="List at most this many, latest amendment first.")
    ] = LIMIT,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show every version of an order and what changed, or list the amended orders.

    A version is valid from the first snapshot that shows it. It ends with the first snapshot that shows the next
    version, or that lacks the order. last_updated is the back office's own timestamp: amendments leave it alone.

    Exit code: 1 if the warehouse never had the order.
    """
    if purchase and payment:
        raise Misused("Give --purchase or --payment, not both.")
    if as_json and as_csv:
        raise Misused("Give --json or --csv, not both.")
    if amended and order is not None:
        raise Misused("Give an id or --amended, not both.")
    entity = PURCHASE_ORDER if purchase else PAYMENT if payment else SALES_ORDER
    if amended:
        listed = [entity] if purchase or payment else ORDERS
        _list_amended(context, listed, limit, as_json, as_csv)
    elif order is None:
        listing = target(context).command(entity.line("--amended"))
        raise Misused(f"Which {entity.words}? `{listing}` lists those that were amended.")
    else:
        _show_one(context, entity, order, as_json, as_csv)


def _show_one(context: typer.Context, entity: Entity, order: int, as_json: bool, as_csv: bool) -> None:
    if order not in entity.ids:
        raise Misused(f"{order} can't be a {entity.words}: ids range from {entity.ids[0]} to {entity.ids[-1]}.")
    with warehouse(target(context).connect()) as connection:
        versions = read_versions(connection, entity, order)
    if not versions:
        raise CommandFailed(f"The warehouse has never seen {entity.words} {order}.")
    if as_json:
        say_json({"entity": entity.name, "id": order, "versions": with_changes(versions)})
    elif as_csv:
        _say_csv(with_changes(versions))
    else:
        show_versions(screen(), entity, order, versions)


def _list_amended(context: typer.Context, entities: Sequence[Entity], limit: int, as_json: bool, as_csv: bool) -> None:
    deployment = target(context)
    with warehouse(deployment.connect()) as connection:
        found, count = read_amended(connection, entities, limit)
    if as_json:
        say_json(found)
    elif as_csv:
        _say_csv(found, AMENDED)
    else:
        show_amended(screen(), deployment, entities, found, count)


def _say_csv(rows: Sequence[Row], columns: Sequence[str] | None = None) -> None:
    names = columns or list(rows[0])
    say_csv(names, ({**row, "changed": " ".join(row["changed"])} for row in rows))


def show_amended(
    console: Console, deployment: Target, entities: Sequence[Entity], found: Sequence[Row], count: int
) -> None:
    """Prints a line for each amended order, and a command that shows one order of each kind."""
    words = entities[0].words if len(entities) == 1 else "order"
    if not found:
        console.print(Text(f"No {words} has more than one version: none was amended."))
        return
    console.print(rows_table(AMENDED, [_in_words(row) for row in found]))
    those = f"{count:,} {words}{'s' * (count > 1)}"
    shown = (
        f"{len(found):,} of {those}, latest amendment first; --limit {count} lists all" if len(found) < count else those
    )
    console.print(Text(f"{shown}.", "dim"))
    for entity in entities:
        if (one := next((row["id"] for row in found if row["entity"] == entity.name), None)) is not None:
            # Not wrapped, so that the command can be copied in one piece.
            said = f"All versions of one {entity.words}: {deployment.command(entity.line(one))}"
            console.print(Text(said, "dim"), soft_wrap=True)


def _in_words(row: Row) -> Row:
    return {**row, "entity": heading(row["entity"]), "changed": ", ".join(map(heading, row["changed"]))}


def show_versions(console: Console, entity: Entity, order: int, versions: Sequence[Row]) -> None:
    """Prints the versions side by side, as many as fit the width. An arrow marks each change."""
    compared = with_changes([_with_stamps_joined(version) for version in versions])
    stamps = {version["last_updated"] for version in compared}
    count = len(versions)
    console.print(Text(f"{entity.words.capitalize()} {order}: {count} version{'s' * (count > 1)}", "bold"))
    at_once = max(1, (console.width - VERSION_WIDTH) // VERSION_WIDTH)
    for first in range(0, count, at_once):
        console.print(_versions_table(compared[first : first + at_once]))
    if count > 1 and len(stamps) == 1:
        console.print(Text("All versions have the same last_updated: the back office did not change it.", "dim"))


def _versions_table(versions: Sequence[Row]) -> Table:
    table = plain_table()
    table.add_column("version")
    for version in versions:
        table.add_column(str(version["version"]), overflow="fold")
    for column in (*BOOKKEEPING[1:], *values_of(versions[0])):
        table.add_row(heading(column), *(_compared(version, column) for version in versions))
    return table


def _with_stamps_joined(version: Row) -> dict[str, Any]:
    """Joins each timestamp's date and time, which are two columns in a fact."""
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
