"""`totes up`: runs the local stack and its schedule until Ctrl-C."""

from contextlib import closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.commands.simulate import USUAL_AMENDMENTS, Amendments
from cli.errors import CommandFailed, Misused
from cli.render.terminal import screen
from cli.schedule import parse_interval
from cli.service import Pace, serve
from cli.starting import another_terminal
from cli.stopping import said_when_terminated
from local.state import check_free, home
from web.listener import listener

if TYPE_CHECKING:
    from local.stack import Stack


# Working days left between the seeded history's end and today, for `totes simulate` and for an hour of --simulate.
# Ingest warns of rows with a timestamp in the future, so simulated days must not pass today.
ROOM = 5
SIMULATED_ROOM = 65
# The first commands to try. They ask for many amendments, because a day may have none at the real business's rate.
TOUR = (
    "totes status",
    "totes simulate --days 1 --amendments-per-day 5",
    "totes run",
    "totes history --amended",
    "totes query --list",
)


def up(
    data: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Keep the databases and the lake in this folder. Default: temporary."),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="The schedule's interval, such as 20s. Default: the rate in serverless.yml."),
    ] = None,
    seed: Annotated[bool, typer.Option("--seed/--no-seed", help="Fill the source if it is empty.")] = True,
    simulate: Annotated[
        bool, typer.Option("--simulate/--no-simulate", help="Simulate working days, starting three months ago.")
    ] = False,
    day: Annotated[str, typer.Option(metavar="SPAN", help="How long a simulated working day lasts.")] = "1m",
    amendments: Amendments = USUAL_AMENDMENTS,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve a page that shows the pipeline.")] = True,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The page's port. Default: 8683, or a free one if it is taken.")
    ] = None,
) -> None:
    """Start the local stack and run the pipeline on its schedule until Ctrl-C.

    The stack runs on this machine: PostgreSQL with source and warehouse, AWS's services, and the same state machine
    and functions as on AWS. The page shows the pipeline's state. Use the other commands from another terminal.

    Every change that you save in functions/, totes/ or schemas/ is deployed: the next execution uses it. When the stack
    stops, it deletes executions, e-mails and a pause, and, without --data, also the databases and the lake.
    """
    interval = parse_interval("--every", every) if every else None
    pace = Pace(parse_interval("--day", day), amendments) if simulate else None
    if port and not page:
        raise Misused("Give --port or --no-page, not both.")
    # Checks the home and the port before the imports, which take seconds on a slow machine.
    check_free(home())
    console = screen()

    def say_stopped() -> None:
        kept = f"The databases and the lake are in {data}." if data else "Nothing is left behind."
        console.print(Text(f"Stopped. {kept}", "dim"))

    try:
        with said_when_terminated(say_stopped), listener(port) if page else nullcontext() as at:
            console.print(Text("Starting PostgreSQL and the AWS services …", "dim"))
            # Imported here, because moto is slow to import and only the commands with a stack of their own need it.
            from local.stack import Stack
            from web.server import serving_page

            with Stack(data, every=every) as stack:
                if seed:
                    seed_if_empty(stack, console, ago=SIMULATED_ROOM if simulate else ROOM)
                with serving_page(stack, at) if at else nullcontext() as address:
                    _announce(stack, address, console)
                    serve(stack, console, interval, pace)
    except ValueError as error:
        raise CommandFailed(f"{error}.") from None
    except KeyboardInterrupt:
        say_stopped()


def seed_if_empty(stack: "Stack", console: Console, now: datetime | None = None, ago: int = 0) -> None:
    """Fills the source with two years of trading, unless it already has rows.

    Args:
        now: the current time; None means the machine's clock. The history ends with the last working day that is over.
        ago: how many working days earlier the history ends, to leave room for simulated days.
    """
    from local.business.seed import seed as seed_source
    from local.business.trading import last_closed_day

    until = last_closed_day(now or datetime.now(UTC), ago)
    with closing(stack.connect_source()) as connection:
        with closing(connection.cursor()) as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM currency)")
            (filled,) = cursor.fetchone()
        if not filled:
            rows = seed_source(connection, until=until)
            left = f": {ago} working days are left to simulate" if ago else ""
            seeded = f"Seeded totesys: {sum(rows.values()):,} rows in {len(rows)} tables, until {until:%a %F}{left}."
            console.print(seeded, soft_wrap=True)


def _announce(stack: "Stack", address: str | None, console: Console) -> None:
    console.print(
        Text.assemble(
            ("The local stack is up. ", "bold green"),
            *(("See it at ", (address, "bold underline"), "\n") if address else ()),
            f"AWS at {stack.endpoint_url}, PostgreSQL at {stack.postgres.host}, logs in {stack.logs}.\n",
            f"{another_terminal()}: {' · '.join(TOUR)}. Ctrl-C stops it.",
        ),
        soft_wrap=True,
    )
