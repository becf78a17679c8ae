"""`totes drill`: an outage of the warehouse, rehearsed from the first error to the mail that all is well again."""

import time
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.commands.demo import STOPPED, temporary_stack
from cli.errors import FAILED, Interrupted, Misused
from cli.render.terminal import say_error, screen
from cli.stopping import said_when_terminated
from local.state import home
from web.listener import listener


def drill(
    step: Annotated[
        bool, typer.Option("--step", help="Wait for Enter after each chapter: time to look at the page.")
    ] = False,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Show it all in a browser.")] = True,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of the page; else 8683, or a free one where that is taken.")
    ] = None,
) -> None:
    """Rehearse an outage: the warehouse goes down in the middle of an execution, and comes back.

    On a temporary stack on this machine, where a real PostgreSQL server is stopped: what the execution does, the e-mail
    that is sent, how the next execution catches up, and whether anything was lost. Takes about half a minute.

    Exit code: 1 when anything did not go as promised.
    """
    if port and not page:
        raise Misused("Give --port or --no-page, not both.")
    began, console = time.monotonic(), screen()
    from cli.rehearsal import Rehearsal
    from local.postgres.outage import WarehouseServer
    from web.server import serving_page

    try:
        with (
            said_when_terminated(lambda: say_error(STOPPED)),
            listener(port) if page else nullcontext() as at,
            temporary_stack(console) as stack,
            WarehouseServer(stack, home()) as warehouse,
            serving_page(stack, at) if at else nullcontext() as address,
        ):
            _announce(console, address, step)
            rehearsal = Rehearsal(stack, warehouse, console, step)
            rehearsal.run()
    except KeyboardInterrupt:
        raise Interrupted(STOPPED) from None
    took = f"in {time.monotonic() - began:.0f} s"
    if rehearsal.broken:
        promises = "1 promise was" if rehearsal.broken == 1 else f"{rehearsal.broken} promises were"
        console.print(Text(f"\n{promises} not kept, {took}: see ✘ above.", "bold red"))
        raise typer.Exit(FAILED)
    console.print(
        Text(f"\nEvery promise was kept, {took}. ", "bold green").append("Nothing is left behind.", "not bold")
    )


def _announce(console: Console, address: str | None, step: bool) -> None:
    if address:
        console.print(Text.assemble("Watch it at ", (address, "bold underline"), "."), soft_wrap=True)
    hints = [
        f"In another terminal: export TOTES_HOME={home()}, then totes status, totes explain, totes logs.",
        "Retries wait a tenth as long as in AWS, and the schedule fires when the drill comes to it.",
        *(["Look as long as you like, but start nothing: executions and mails are counted."] if step else []),
    ]
    console.print(Text("\n".join(hints), "dim"), soft_wrap=True)
