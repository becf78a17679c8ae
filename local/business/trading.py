"""How Terrific Totes trades, drawn at random: the rules that the seed's history and the simulator's days share.

The rates and ranges were measured on extracts of the real database between November 2022 and November 2024. Columns
are numpy arrays by column name; times are UTC without a zone, money is in whole hundredths of its currency.
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
    """The ids that an order may point at."""

    staff: Ids
    counterparties: Ids
    addresses: Ids
    currencies: Ids


def working_days(first: date, last: date) -> Times:
    """Monday to Friday from `first` to `last`, both included, as datetime64[D]."""
    days = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)
    return days[np.is_busday(days)]


def working_days_until(last: date, count: int) -> Times:
    """Returns the `count` working days that end with `last`, or with the Friday before if `last` is on a weekend."""
    end = np.busday_offset(np.datetime64(last, "D"), 0, roll="backward")
    days: Times = np.busday_offset(end, np.arange(1 - count, 1))
    return days


def last_closed_day(now: datetime, ago: int = 0) -> date:
    """Returns the last working day that has closed by `now`, which has a zone; or the working day `ago` days before.

    A history that ends on it holds nothing from the future, and its last day is a whole one.
    """
    utc = now.astimezone(UTC)
    latest = utc.date() if utc.hour >= CLOSES else utc.date() - timedelta(days=1)
    day: date = working_days_until(latest, ago + 1)[0].item()
    return day


def moments(rng: np.random.Generator, days: Times) -> Times:
    """One moment in business hours for each of `days` (a day may repeat), in the order in which they commit.

    The back office's jobs start ten seconds past the minute and race each other within it: the minutes ascend, the
    milliseconds inside one do not, and so ids handed out in this order are not in time order.
    """
    minutes = days + _durations(rng, OPENS * 60, CLOSES * 60, len(days), "m")
    minutes.sort()
    return minutes + _durations(rng, 9_700, 10_400, len(days), "ms")


def paid_batches(rng: np.random.Generator, days: Times) -> Times:
    """The one moment of each working day that all payments due on it are stamped with."""
    return days + PAID_BATCH + _durations(rng, 0, 2_400, len(days), "ms")


def dates_within(rng: np.random.Generator, start: Times, days: int) -> Times:
    """The dates of random moments in the `days` days after each of `start`; weekends are not avoided."""
    ahead = _durations(rng, 0, days * _DAY_MS, len(start), "ms")
    dates: Times = (start + ahead).astype("datetime64[D]")
    return dates


def item_codes(rng: np.random.Generator, count: int) -> npt.NDArray[np.str_]:
    """Codes of seven letters and digits."""
    letters = rng.integers(0, len(_CODE_CHARACTERS), (count, 7))
    codes: npt.NDArray[np.str_] = _CODE_CHARACTERS[letters].view("S7").ravel().astype(str)
    return codes


def designs(rng: np.random.Generator, created_at: Times) -> Columns:
    """A design for each moment, its file dated up to two years back."""
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
    """A sales order for each moment, of the design given for it."""
    count = len(created_at)
    return {
        **_agreement(rng, created_at, parties),
        "design_id": design_ids,
        "units_sold": rng.integers(1_000, 100_001, count),
        "unit_price": rng.integers(2_00, 4_00 + 1, count),
    }


def purchase_orders(rng: np.random.Generator, created_at: Times, parties: Parties) -> Columns:
    """A purchase order for each moment."""
    count = len(created_at)
    return {
        **_agreement(rng, created_at, parties),
        "item_code": item_codes(rng, count),
        "item_quantity": rng.integers(1, 1_001, count),
        "item_unit_price": rng.integers(3_00, 1_000_00 + 1, count),
    }


def payments(rng: np.random.Generator, sales: Columns, purchases: Columns) -> Columns:
    """The unpaid payment of each sale, then of each purchase: the order's moment, party, currency, date and value."""
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
