"""Simulates the back office's working days on a live totesys: orders, designs, the paid batch and silent updates.

The rates are in `local.business.trading` and `local.business.rates`. As in the real back office, every business event
is one transaction: an order, its transaction and its payment appear together or not at all.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import NamedTuple

import numpy as np

from local.business import amendments, back_office, trading
from local.business.amendments import Amendment
from local.business.back_office import Record
from local.business.connection import Connection, Cursor
from local.business.rates import A_DAY, SEED
from local.business.trading import Ids, Parties, Times

_OPENING = time(7, 55)
_WORKING_DAY = timedelta(hours=trading.CLOSES) - timedelta(hours=7, minutes=55)
_ROUNDING = 1e-9
_TO_NEXT_WORKING_DAY = {5: 3, 6: 2}  # from a Friday, a Saturday (ISO weekdays); one day from any other

_NEWEST = "SELECT greatest((SELECT max(last_updated) FROM payment), (SELECT max(last_updated) FROM design))"
_IDS = (
    "SELECT staff_id FROM staff ORDER BY 1",
    "SELECT counterparty_id FROM counterparty ORDER BY 1",
    "SELECT address_id FROM address ORDER BY 1",
    "SELECT currency_id FROM currency ORDER BY 1",
    "SELECT design_id FROM design ORDER BY 1",
)


@dataclass
class DayReport:
    """The counts for `day` or a part of it: rows inserted, payments marked as paid, cells amended."""

    day: date
    sales_orders: int = 0
    purchase_orders: int = 0
    designs: int = 0
    paid: int = 0
    amended: list[Amendment] = field(default_factory=list)


class Event(NamedTuple):
    """A business event at `moment` (UTC, no zone). `apply` commits it and counts it in the report."""

    moment: datetime
    apply: Callable[[DayReport], None]


class Simulator:
    """Simulates one working day after another, starting after the newest timestamp in the database.

    The same seed on the same rows gives the same days.

    Args:
        connection: to a seeded source, without autocommit. Only the simulator may use it.
        seed: the random numbers' seed.
        amendments_a_day: silent updates a working day; a whole number is exact, a fraction is an average.
    """

    def __init__(self, connection: Connection, *, seed: int = SEED, amendments_a_day: float = A_DAY) -> None:
        self._connection = connection
        self._seed = seed
        self._amendments_a_day = amendments_a_day
        self._day = date.min
        self._passed = 1.0
        self._pending: deque[Event] = deque()

    def run(self, days: int, *, progress: Callable[[DayReport], None] | None = None) -> list[DayReport]:
        """Simulates working days as fast as the database allows. Calls `progress` with each finished day's report."""
        reports = []
        for _ in range(days):
            reports.append(self.advance(1.0))
            if progress:
                progress(reports[-1])
        return reports

    def days_until(self, last: date) -> int:
        """Returns how many working days are left until `last`, inclusive.

        Raises:
            ValueError: the source has no payments or designs.
        """
        return max(0, int(np.busday_count(self._next_day(), last + timedelta(days=1))))

    def advance(self, share: float) -> DayReport:
        """Simulates a share of a working day, and returns the report of its events.

        A day opens at 07:55 with the paid batch and closes at 19:00. A step never goes beyond the day's end. Called
        every second with 1/60, it simulates a day a minute.

        Raises:
            ValueError: the source has no payments or designs, or the share is not above 0.
        """
        if share <= 0:
            raise ValueError(f"cannot simulate {share} of a working day: give a share above 0")
        if self._passed >= 1 - _ROUNDING:
            self._day = self._next_day()
            self._pending = deque(self.events(self._day))
            self._passed = 0.0
        self._passed = min(1.0, self._passed + share)
        now = datetime.combine(self._day, _OPENING) + self._passed * _WORKING_DAY
        report = DayReport(self._day)
        while self._pending and self._pending[0].moment <= now:
            self._pending[0].apply(report)
            self._pending.popleft()
        return report

    def events(self, day: date) -> Iterator[Event]:
        """Draws one working day's events, without applying them, in time order.

        The order is exact to the minute. Within a minute clients race, so the earlier timestamp may commit second.
        """
        rng = np.random.default_rng([self._seed, day.toordinal()])
        parties, design_ids = self._known()
        sold_at, bought_at, designed_at = (
            trading.moments(rng, _repeat(day, rng.poisson(mean)))
            for mean in (trading.SALES_A_DAY, trading.PURCHASES_A_DAY, trading.DESIGNS_A_DAY)
        )
        whole, fraction = divmod(self._amendments_a_day, 1)
        amended_at = trading.moments(rng, _repeat(day, int(whole) + int(rng.random() < fraction)))
        sales = trading.sales_orders(rng, sold_at, parties, rng.choice(design_ids, len(sold_at)))
        purchases = trading.purchase_orders(rng, bought_at, parties)
        payments = back_office.records(trading.payments(rng, sales, purchases))
        orders = back_office.records(sales) + back_office.records(purchases)
        batch: datetime = trading.paid_batches(rng, _repeat(day, 1))[0].item()

        events = [Event(batch, partial(self._flip_paid, batch))]
        events += [
            Event(payment["created_at"], partial(self._place, order, payment))
            for order, payment in zip(orders, payments, strict=True)
        ]
        events += [
            Event(design["created_at"], partial(self._add_design, design))
            for design in back_office.records(trading.designs(rng, designed_at))
        ]
        events += [
            Event(moment, partial(self._amend, rng, moment, parties, design_ids)) for moment in amended_at.tolist()
        ]
        yield from sorted(events, key=lambda event: event.moment.replace(second=0, microsecond=0))

    def _flip_paid(self, moment: datetime, report: DayReport) -> None:
        with self._transaction() as cursor:
            report.paid += back_office.flip_paid(cursor, moment)

    def _place(self, order: Record, payment: Record, report: DayReport) -> None:
        with self._transaction() as cursor:
            table = back_office.place_order(cursor, order, payment)
        report.sales_orders += table == "sales_order"
        report.purchase_orders += table == "purchase_order"

    def _add_design(self, design: Record, report: DayReport) -> None:
        with self._transaction() as cursor:
            back_office.insert(cursor, "design", design)
        report.designs += 1

    def _amend(
        self, rng: np.random.Generator, moment: datetime, parties: Parties, design_ids: Ids, report: DayReport
    ) -> None:
        with self._transaction() as cursor:
            amendment = amendments.amend(cursor, rng, moment, parties, design_ids)
        if amendment:
            report.amended.append(amendment)

    def _next_day(self) -> date:
        with self._transaction() as cursor:
            cursor.execute(_NEWEST)
            newest: datetime | None = cursor.fetchone()[0]
        if newest is None:
            raise ValueError("the source has no payments or designs to continue from: seed it first")
        latest = max(newest.date(), self._day)
        return latest + timedelta(days=_TO_NEXT_WORKING_DAY.get(latest.isoweekday(), 1))

    def _known(self) -> tuple[Parties, Ids]:
        ids = []
        with self._transaction() as cursor:
            for query in _IDS:
                cursor.execute(query)
                ids.append(np.array([row[0] for row in cursor.fetchall()], dtype=np.int64))
        *parties, design_ids = ids
        return Parties(*parties), design_ids

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        try:
            with closing(self._connection.cursor()) as cursor:
                yield cursor
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()


def _repeat(day: date, count: int) -> Times:
    return np.full(count, np.datetime64(day, "D"))
