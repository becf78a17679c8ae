"""`totes simulate`: simulates working days in the local stack's source."""

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.deployment import target
from cli.errors import CommandFailed, Interrupted, Misused
from cli.render.terminal import heading, plain_table, screen
from local.business.rates import A_DAY, SEED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from local.business.amendments import Amendment
    from local.business.simulator import DayReport, Simulator

USUAL_AMENDMENTS = round(A_DAY, 2)
# Names at most this many amendments.
_NAMED = 5

Amendments = Annotated[
    float, typer.Option("--amendments-per-day", min=0, help="How many orders or designs are amended a day, on average.")
]


def simulate(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, help="How many working days to simulate.")],
    amendments: Amendments = USUAL_AMENDMENTS,
    seed: Annotated[int, typer.Option(help="The random numbers' seed: the same seed gives the same days.")] = SEED,
    ahead: Annotated[
        bool, typer.Option("--ahead", help="Also simulate future days. Executions will warn of rows from the future.")
    ] = False,
) -> None:
    """Simulate working days in the local stack's source, up to the last day that is over.

    A day has orders, designs, payments at 07:55, and amendments that leave last_updated alone, at the real business's
    rates. The next execution loads them.
    """
    from local.business.simulator import Simulator
    from totes.postgres.connection import TOTESYS
    from totes.postgres.server_errors import database_errors

    stack = target(context).stack()
    reports: list[DayReport] = []
    with database_errors(TOTESYS), closing(stack.connect(TOTESYS.name)) as connection:
        try:
            simulator = Simulator(connection, seed=seed, amendments_a_day=amendments)
            if not ahead:
                _check_room(simulator, days)
            simulator.run(days, progress=reports.append)
        except ValueError as error:
            raise CommandFailed(f"{error}.") from None
        except KeyboardInterrupt:
            said = f"totesys has {len(reports)} of {days} days, and a part of the next one"
            raise Interrupted(f"Stopped: {said}. The next execution loads them.") from None
    console = screen()
    console.print(days_table(reports))
    if amended := [amendment for report in reports for amendment in report.amended]:
        console.print(Text(_amended_text(amended)))


def _check_room(simulator: "Simulator", days: int) -> None:
    from local.business.trading import CLOSES, last_closed_day

    last = last_closed_day(datetime.now(UTC))
    if days <= (left := simulator.days_until(last)):
        return
    until = f"{last:%A, %F}, the last working day that is over"
    if left:
        said = f"Only {left} working day{'s are' if left > 1 else ' is'} left until {until}: use --days {left}, wait"
    else:
        said = f"totesys has reached {until}: wait"
    raise Misused(f"{said} for the next one to end at {CLOSES}:00 UTC, or simulate future days with --ahead.")


def _amended_text(amended: "Sequence[Amendment]") -> str:
    """Returns a line that names the amended rows. Includes designs, which have no versions in the warehouse."""
    named = [f"{heading(table)} {row} ({heading(column)})" for table, row, column in amended[:_NAMED]]
    more = len(amended) - len(named)
    return f"Amended: {', '.join(named)}{f' and {more:,} more' if more else ''}."


def days_table(reports: "Sequence[DayReport]") -> Table:
    """Returns a table with each day's counts."""
    table = plain_table()
    for title in ("day", "sales orders", "purchase orders", "designs", "paid", "amended"):
        table.add_column(title, justify="left" if title == "day" else "right")
    for report in reports:
        table.add_row(f"{report.day:%a %Y-%m-%d}", *_counts([report]))
    if len(reports) > 1:
        table.add_section()
        table.add_row(f"{len(reports)} days", *_counts(reports))
    return table


def _counts(reports: "Iterable[DayReport]") -> list[str]:
    counts = [(r.sales_orders, r.purchase_orders, r.designs, r.paid, len(r.amended)) for r in reports]
    return [f"{sum(column):,}" for column in zip(*counts, strict=True)]
