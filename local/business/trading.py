"""Draws random trading of Terrific Totes: the common rules of the seed's history and the simulator's days.

The rates and ranges were measured on extracts of the real database from November 2022 to November 2024. Columns are
numpy arrays by column name. Times are UTC without a zone. Money is in whole hundredths of its currency.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from local.business import catalogue

Ids = npt.NDArray[np.int64]
Times = npt.NDArray[np.datetime64]
Columns = dict[str, npt.NDArray[Any]]

OPENS, CLOSES = 8, 19
PAID_BATCH = np.timedelta64((7 * 60 + 55) * 60 + 10, "s")

# The real business had 532 working days from its first order, on 2022-11-03, to the extract of 2024-11-15.
MEASURED_UNTIL = date(2024, 11, 15)
MEASURED_DAYS = 532
SALES_A_DAY = 11_187 / MEASURED_DAYS
PURCHASES_A_DAY = 4_649 / MEASURED_DAYS
DESIGNS_A_DAY = 463 / MEASURED_DAYS

PAYMENT_DAYS, DELIVERY_DAYS = 6, 7
SALES_RECEIPT, PURCHASE_PAYMENT = 1, 3
MONEY = ("unit_price", "item_unit_price", "payment_amount")

_CODE_CHARACTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", dtype="S1")
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class Parties:
    """The ids that an order may refer to."""

    staff: Ids
    counterparties: Ids
    addresses: Ids
    currencies: Ids


def working_days(first: date, last: date) -> Times:
    """Returns Monday to Friday from `first` to `last`, inclusive, as datetime64[D]."""
    days = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)
    return days[np.is_busday(days)]


def working_days_until(last: date, count: int) -> Times:
    """Returns the `count` working days that end with `last`, or with the Friday before if `last` is on a weekend."""
    end = np.busday_offset(np.datetime64(last, "D"), 0, roll="backward")
    days: Times = np.busday_offset(end, np.arange(1 - count, 1))
    return days


def last_closed_day(now: datetime, ago: int = 0) -> date:
    """Returns the working day `ago` working days before the last one that is over at `now`, which has a time zone.

    A history that ends on it has no rows from the future, and its last day is complete.
    """
    utc = now.astimezone(UTC)
    latest = utc.date() if utc.hour >= CLOSES else utc.date() - timedelta(days=1)
    day: date = working_days_until(latest, ago + 1)[0].item()
    return day


def moments(rng: np.random.Generator, days: Times) -> Times:
    """Returns a time in business hours for each of `days` (which may repeat), in commit order.

    The back office's jobs start ten seconds past the minute and race each other within it. So the minutes ascend, but
    the milliseconds within a minute do not, and ids assigned in this order are not in time order.
    """
    minutes = days + _durations(rng, OPENS * 60, CLOSES * 60, len(days), "m")
    minutes.sort()
    return minutes + _durations(rng, 9_700, 10_400, len(days), "ms")


def paid_batches(rng: np.random.Generator, days: Times) -> Times:
    """Returns the one timestamp that each working day's due payments get."""
    return days + PAID_BATCH + _durations(rng, 0, 2_400, len(days), "ms")


def dates_within(rng: np.random.Generator, start: Times, days: int) -> Times:
    """Returns random dates in the `days` days after each of `start`, including weekends."""
    ahead = _durations(rng, 0, days * _DAY_MS, len(start), "ms")
    dates: Times = (start + ahead).astype("datetime64[D]")
    return dates


def item_codes(rng: np.random.Generator, count: int) -> npt.NDArray[np.str_]:
    """Returns random codes of seven letters and digits."""
    letters = rng.integers(0, len(_CODE_CHARACTERS), (count, 7))
    codes: npt.NDArray[np.str_] = _CODE_CHARACTERS[letters].view("S7").ravel().astype(str)
    return codes


def designs(rng: np.random.Generator, created_at: Times) -> Columns:
    """Draws a design for each time. Its file's date is up to two years earlier."""
    count = len(created_at)
    names = rng.choice(np.array(catalogue.DESIGN_NAMES), count)
    drawn = created_at.astype("datetime64[D]") - _durations(rng, 0, 730, count, "D")
    suffixes = item_codes(rng, count)
    files = [
        f"{name.lower()}-{day:%Y%m%d}-{suffix[:4].lower()}.json"
        for name, day, suffix in zip(names.tolist(), drawn.tolist(), suffixes.tolist(), strict=True)
    ]
    return {
        "created_at": created_at,
        "design_name": names,
        "file_location": rng.choice(np.array(catalogue.FILE_LOCATIONS), count),
        "file_name": np.array(files, dtype=str),
        "last_updated": created_at,
    }


def sales_orders(rng: np.random.Generator, created_at: Times, parties: Parties, design_ids: Ids) -> Columns:
    """Draws a sales order for each time, of the given design."""
    count = len(created_at)
    return {
        **_agreement(rng, created_at, parties),
        "design_id": design_ids,
        "units_sold": rng.integers(1_000, 100_001, count),
        "unit_price": rng.integers(2_00, 4_00 + 1, count),
    }


def purchase_orders(rng: np.random.Generator, created_at: Times, parties: Parties) -> Columns:
    """Draws a purchase order for each time."""
    count = len(created_at)
    return {
        **_agreement(rng, created_at, parties),
        "item_code": item_codes(rng, count),
        "item_quantity": rng.integers(1, 1_001, count),
        "item_unit_price": rng.integers(3_00, 1_000_00 + 1, count),
    }


def payments(rng: np.random.Generator, sales: Columns, purchases: Columns) -> Columns:
    """Returns each sale's unpaid payment, then each purchase's, with the order's time, party, currency and value."""
    both = ("created_at", "counterparty_id", "currency_id", "agreed_payment_date")
    created_at, counterparty, currency, payment_date = (np.concatenate([sales[c], purchases[c]]) for c in both)
    receipts, count = len(sales["created_at"]), len(created_at)
    return {
        "created_at": created_at,
        "last_updated": created_at,
        "counterparty_id": counterparty,
        "payment_amount": np.concatenate(
            [
                sales["units_sold"] * sales["unit_price"],
                purchases["item_quantity"] * purchases["item_unit_price"],
            ]
        ),
        "currency_id": currency,
        "payment_type_id": np.where(np.arange(count) < receipts, SALES_RECEIPT, PURCHASE_PAYMENT),
        "paid": np.zeros(count, dtype=bool),
        "payment_date": payment_date,
        "company_ac_number": rng.integers(10_000_000, 100_000_000, count),
        "counterparty_ac_number": rng.integers(10_000_000, 100_000_000, count),
    }


def _durations(rng: np.random.Generator, low: int, high: int, count: int, unit: str) -> npt.NDArray[np.timedelta64]:
    durations: npt.NDArray[np.timedelta64] = rng.integers(low, high, count).astype(f"timedelta64[{unit}]")
    return durations


def _agreement(rng: np.random.Generator, created_at: Times, parties: Parties) -> Columns:
    count = len(created_at)
    return {
        "created_at": created_at,
        "last_updated": created_at,
        "staff_id": rng.choice(parties.staff, count),
        "counterparty_id": rng.choice(parties.counterparties, count),
        "currency_id": rng.choice(parties.currencies, count),
        "agreed_delivery_date": dates_within(rng, created_at, DELIVERY_DAYS),
        "agreed_payment_date": dates_within(rng, created_at, PAYMENT_DAYS),
        "agreed_delivery_location_id": rng.choice(parties.addresses, count),
    }
