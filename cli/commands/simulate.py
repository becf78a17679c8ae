"""`totes simulate`: let working days pass in the source of the local stack."""

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.deployment import target
from cli.errors import CommandFailed, Interrupted
from cli.render.terminal import plain_table, screen
from local.business.rates import A_DAY, SEED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from local.business.simulator import DayReport

USUAL_AMENDMENTS = round(A_DAY, 2)

Amendments = Annotated[
    float, typer.Option("--amendments-per-day", min=0, help="How often an order or a design is amended.")
]


def simulate(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, help="How many working days pass.")],
    amendments: Amendments = USUAL_AMENDMENTS,
    seed: Annotated[int, typer.Option(help="Of the random numbers: the same seed, the same days.")] = SEED,
) -> None:
    """Let working days pass in the source of the local stack, as fast as it can.

    Orders, designs, the paid batch at 07:55, and amendments that leave last_updated alone, at the rates of the
    real business. The next execution brings them over.
    """
    from local.business.simulator import Simulator
    from local.business.trading import last_closed_day
    from totes.postgres.connection import TOTESYS
    from totes.postgres.server_errors import database_errors

    stack = target(context).stack()
    reports: list[DayReport] = []
    with database_errors(TOTESYS), closing(stack.connect(TOTESYS.name)) as connection:
        try:
            Simulator(connection, seed=seed, amendments_a_day=amendments).run(days, progress=reports.append)
        except ValueError as error:
            raise CommandFailed(f"{error}.") from None
        except KeyboardInterrupt:
            said = f"{len(reports)} of {days} days have passed in totesys, and a part of the next one"
            raise Interrupted(f"Stopped: {said}. The next execution brings them over.") from None
    console = screen()
    console.print(days_table(reports))
    if (last := reports[-1].day) > last_closed_day(datetime.now(UTC)):
        ahead = f"{last:%A, %F} is not over yet: the next execution warns of rows that are stamped with a time to come."
        console.print(Text(ahead, "yellow"))


def days_table(reports: "Sequence[DayReport]") -> Table:
    """What happened on each day."""
    table = plain_table()
    for heading in ("day", "sales orders", "purchase orders", "designs", "paid", "amended"):
        table.add_column(heading, justify="left" if heading == "day" else "right")
    for report in reports:
        table.add_row(f"{report.day:%a %Y-%m-%d}", *_counts([report]))
    if len(reports) > 1:
        table.add_section()
        table.add_row(f"{len(reports)} days", *_counts(reports))
    return table


def _counts(reports: "Iterable[DayReport]") -> list[str]:
    counts = [(r.sales_orders, r.purchase_orders, r.designs, r.paid, len(r.amended)) for r in reports]
    return [f"{sum(column):,}" for column in zip(*counts, strict=True)]
