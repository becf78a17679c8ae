"""`totes reconcile`: compares the warehouse with totesys, row by row."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.deployment import WarehouseEmpty, target, warehouse
from cli.errors import FAILED, Misused, no_such
from cli.render.reconcile import show_reconciliation
from cli.render.terminal import AsJson, complaints, say_json, screen
from totes.contracts.declarations import WarehouseTable
from totes.lake.bucket import Lake
from totes.runtime.secrets import read_credentials
from totes.verify.reconcile.result import Reconciliation

if TYPE_CHECKING:
    from totes.runtime.names import Names
    from totes.verify.reconcile.table import Seen


def reconcile(
    context: typer.Context,
    table: Annotated[
        list[str] | None, typer.Option("--table", "-t", help="A warehouse table; repeatable. Default: all tables.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the warehouse with totesys as they are now: every row and every value.

    Counts the missing, extra and differing rows, and names the first ones. Rows written in totesys since the last
    loaded batch are in flight: they do not count as differences.

    Writes to neither database. Skips the facts' earlier versions and the calendar, because totesys has neither.

    Exit code: 0 if they agree, 1 if they differ.
    """
    from totes.verify.reconcile.reconcile import comparable

    tables = find_tables(table or list(comparable()))
    names = target(context).connect()
    # The progress goes to stderr, and only to a terminal.
    with complaints().status("connecting") as status:
        found = compare(names, tables, status.update)
    if as_json:
        say_json(as_document(found))
    else:
        show_reconciliation(screen(), found)
    if not found.agrees:
        raise typer.Exit(FAILED)


def find_tables(names: Iterable[str]) -> list[WarehouseTable]:
    """Returns the tables with these names, each once.

    Raises:
        Misused: a table is unknown, or has no counterpart in totesys.
    """
    from totes.verify.reconcile.reconcile import comparable

    known = comparable()
    if unknown := [name for name in names if name not in known]:
        raise Misused(no_such("comparable table", unknown[0], known))
    return [known[name] for name in dict.fromkeys(names)]


def compare(names: "Names", tables: Sequence[WarehouseTable], seen: "Seen" = lambda _: None) -> Reconciliation:
    """Compares warehouse tables with totesys, using one snapshot of each database.

    Raises:
        WarehouseEmpty: no batch has been loaded yet.
        LogBroken: the warehouse does not belong to the lake.
        SourceUnreachable, WarehouseUnreachable, LakeUnavailable, AccessDenied, ContractViolation: see totes.errors.
    """
    from totes.verify.reconcile import reconcile as engine
    from totes.warehouse.warehouse import Warehouse

    source = read_credentials(names.source_secret)
    landing, processed = Lake(names.landing_bucket), Lake(names.processed_bucket)
    with warehouse(names) as connection:
        found = engine.reconcile(Warehouse(connection), source, landing, processed, tables, seen)
    if found is None:
        raise WarehouseEmpty
    return found


def as_document(found: Reconciliation) -> dict[str, Any]:
    """Returns a reconciliation for `--json`."""
    return {"agrees": found.agrees} | asdict(found)
