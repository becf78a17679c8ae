"""`totes replay`: compares the warehouse with the lake and, with --swap, replaces it."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.deployment import target, warehouse
from cli.errors import FAILED, CommandFailed, Misused
from cli.quiet import no_log_lines
from cli.render.terminal import AsJson, complaints, say_json, screen
from cli.starting import unique_name
from totes.lake.bucket import Lake
from totes.runtime.names import LOCAL
from totes.runtime.secrets import read_credentials

if TYPE_CHECKING:
    from totes.runtime.names import Names


def replay(
    context: typer.Context,
    swap: Annotated[
        bool, typer.Option("--swap", help="Replace the live warehouse's content with the replay's.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Swap on AWS without a question.")] = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild the warehouse from the processed zone, beside the live one, and compare the two, or swap.

    The lake is the truth. A replay of all loaded batches must give the same rows, with their whole history, and the
    same log.

    With --swap, it replays every processed batch, then replaces the live warehouse's content in one transaction. Until
    it commits, readers see the old content. Grants, views and record ids stay.

    Exit code: 0 if they agree or were swapped, 1 if they differ.
    """
    ask = swap and not yes and target(context).stage != LOCAL
    if ask and not sys.stdin.isatty():
        raise Misused(f"--swap changes the warehouse of stage {target(context).stage}: add --yes to confirm.")
    names = target(context).connect()
    if not swap:
        # Raises WarehouseEmpty if there is nothing to compare with.
        with warehouse(names):
            pass
    # Imported here, because only this command needs the load code, which is slow to import.
    from cli.render.replay import show_comparison
    from totes.verify.replay.replay import replaying

    credentials, processed = read_credentials(names.warehouse_secret), Lake(names.processed_bucket)
    # The progress goes to stderr, and only to a terminal.
    status = complaints().status("connecting")
    with no_log_lines(), status, replaying(credentials, processed, unique_name("replay"), swap, status.update) as made:
        found = made.compare()
        status.stop()
        if not as_json:
            show_comparison(screen(), found)
            if not (found.agrees or swap):
                remedy = Text.assemble(("totes replay --swap", "bold"), " makes the warehouse equal to the lake.")
                screen().print(remedy)
        swapped = swap and not found.agrees
        if swapped:
            if ask:
                _confirm(names)
            status.start()
            made.swap(found)
    if as_json:
        say_json({"agrees": found.agrees, "swapped": swapped} | asdict(found))
    elif swap:
        screen().print(Text("Swapped." if swapped else "Nothing to swap.", "bold green"))
    if not (found.agrees or swapped):
        raise typer.Exit(FAILED)


def _confirm(names: "Names") -> None:
    try:
        if typer.confirm(f"Replace the content of stage {names.stage}'s warehouse with the replay's?", err=True):
            return
    except typer.Abort:
        typer.echo(err=True)
    raise CommandFailed("Not swapped: the live warehouse is unchanged.")
