"""`totes drill`: rehearses an outage of the warehouse, from the first error to the recovery's e-mail."""

import time
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.commands.demo import STOPPED, temporary_stack
from cli.errors import FAILED, Interrupted, Misused
from cli.render.terminal import say_error, screen
from cli.starting import another_terminal
from cli.stopping import said_when_terminated
from local.state import home
from web.listener import listener


def drill(
    step: Annotated[
        bool, typer.Option("--step", help="Wait for Enter after the main chapters, so that you can look at the page.")
    ] = False,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve a page that shows the pipeline.")] = True,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The page's port. Default: 8683, or a free one if it is taken.")
    ] = None,
) -> None:
    """Rehearse an outage: the warehouse goes down in the middle of an execution, and comes back.

    The drill starts a temporary stack on this machine and stops its PostgreSQL server. It shows the failed execution
    and its e-mail, lets the next execution catch up, and compares the warehouse with totesys. This takes about 30 s.

    Exit code: 1 if a promise was broken.
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
        console.print(Text(f"\n{promises} not kept, {took}: look for ✘ above.", "bold red"))
        raise typer.Exit(FAILED)
    console.print(
        Text(f"\nEvery promise was kept, {took}. ", "bold green").append("Nothing is left behind.", "not bold")
    )


def _announce(console: Console, address: str | None, step: bool) -> None:
    if address:
        console.print(Text.assemble("Watch it at ", (address, "bold underline"), "."), soft_wrap=True)
    hints = [
        f"{another_terminal()}: export TOTES_HOME={home()}, then totes status, totes explain or totes logs.",
        "Retries wait a tenth as long as on AWS. The drill starts the schedule's executions itself.",
        *(["Take your time, but start no execution: the drill counts executions and e-mails."] if step else []),
    ]
    console.print(Text("\n".join(hints), "dim"), soft_wrap=True)
