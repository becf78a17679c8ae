"""`totes replay`: is the warehouse what the lake says, and if not, let it be."""

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
    swap: Annotated[bool, typer.Option("--swap", help="Let the replay take the live warehouse's place.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Swap on AWS without being asked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the warehouse anew from the processed zone, beside the live one, and compare the two, or swap.

    The lake is the truth: batch 1 to the last that is loaded must give the same rows, with their whole history and
    the log. With --swap all that is processed is replayed, and the live warehouse gets that content in one transaction,
    whatever it was: readers see the old until then, and grants, views and record ids stay.

    Exit code: 0 when they agree or have been swapped, 1 when they differ.
    """
    ask = swap and not yes and target(context).stage != LOCAL
    if ask and not sys.stdin.isatty():
        raise Misused(f"--swap changes the warehouse of stage {target(context).stage}: add --yes to mean it.")
    names = target(context).connect()
    if not swap:
        # Raises WarehouseEmpty where there is nothing to compare with.
        with warehouse(names):
            pass
    # Only this command needs load, whose imports take as long as many a command does.
    from cli.render.replay import show_comparison
    from totes.verify.replay.replay import replaying

    credentials, processed = read_credentials(names.warehouse_secret), Lake(names.processed_bucket)
    # What is being done is told on stderr, and to a terminal alone.
    status = complaints().status("connecting")
    with no_log_lines(), status, replaying(credentials, processed, unique_name("replay"), swap, status.update) as made:
        found = made.compare()
        status.stop()
        if not as_json:
            show_comparison(screen(), found)
            if not (found.agrees or swap):
                remedy = Text.assemble(("totes replay --swap", "bold"), " brings the warehouse to what the lake says.")
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
        if typer.confirm(f"Bring the warehouse of stage {names.stage} to what the lake says?", err=True):
            return
    except typer.Abort:
        typer.echo(err=True)
    raise CommandFailed("Not swapped: the live warehouse is as it was.")
