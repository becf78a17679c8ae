"""Draws the simulated totesys's history in chunks of consecutive days, so that any scale fits in memory."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from local.business import trading
from local.business.trading import Columns, Ids, Times

_ORDERS_A_CHUNK = 50_000
# The share of orders that two years of amendments have moved. An UPDATE writes the row again, further down the heap.
_REWRITTEN = 0.02


class Chunk(NamedTuple):
    """Consecutive working days, with the number of orders on each."""

    days: Times
    sales: Ids
    purchases: Ids


def chunks(rng: np.random.Generator, days: Times, scale: float) -> Iterator[Chunk]:
    """Distributes `scale` times the usual orders over `days`, about 50,000 to a chunk."""
    evenly = np.full(len(days), 1 / len(days))
    sales = rng.multinomial(round(trading.SALES_A_DAY * len(days) * scale), evenly)
    purchases = rng.multinomial(round(trading.PURCHASES_A_DAY * len(days) * scale), evenly)
    number = np.cumsum(sales + purchases) // _ORDERS_A_CHUNK
    for which in np.unique(number):
        here = number == which
        yield Chunk(days[here], sales[here], purchases[here])


def orders(
    rng: np.random.Generator, chunk: Chunk, design_moments: Times, batches: Times, rows: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """Draws the chunk's orders, transactions and payments: columns by table, in heap order.

    Args:
        design_moments: the designs' creation times, by ascending id. An order refers to a design that already exists.
        batches: the times of all paid batches in the history, ascending.
        rows: the number of rows in each table so far; the new ids continue from there.
    """
    parties = trading.Parties(*(_ids(0, rows[t]) for t in ("staff", "counterparty", "address", "currency")))
    sold_at = trading.moments(rng, np.repeat(chunk.days, chunk.sales))
    known = np.searchsorted(_minute(design_moments), _minute(sold_at))
    sales = trading.sales_orders(rng, sold_at, parties, rng.integers(0, known) + 1)
    bought_at = trading.moments(rng, np.repeat(chunk.days, chunk.purchases))
    purchases = trading.purchase_orders(rng, bought_at, parties)
    payments = _settle(trading.payments(rng, sales, purchases), batches)

    sales["sales_order_id"] = _ids(rows["sales_order"], len(sold_at))
    purchases["purchase_order_id"] = _ids(rows["purchase_order"], len(bought_at))
    transactions = _transactions(sales, purchases)
    transactions["transaction_id"] = rows["transaction"] + _arrival(rng, payments["created_at"])
    payments["transaction_id"] = transactions["transaction_id"]
    payments["payment_id"] = rows["payment"] + _arrival(rng, payments["created_at"])
    return {
        "sales_order": _stored(sales, _heap_order(rng, len(sold_at))),
        "purchase_order": _stored(purchases, _heap_order(rng, len(bought_at))),
        "transaction": _stored(transactions, np.argsort(transactions["transaction_id"])),
        "payment": _stored(payments, np.argsort(payments["last_updated"], kind="stable")),
    }


def _ids(after: int, count: int) -> Ids:
    return np.arange(after + 1, after + count + 1)


def _transactions(sales: Columns, purchases: Columns) -> Columns:
    created_at = np.concatenate([sales["created_at"], purchases["created_at"]])
    no_sale = np.full(len(purchases["created_at"]), None)
    no_purchase = np.full(len(sales["created_at"]), None)
    return {
        "transaction_type": np.repeat(["SALE", "PURCHASE"], [len(no_purchase), len(no_sale)]),
        "sales_order_id": np.concatenate([sales["sales_order_id"], no_sale]),
        "purchase_order_id": np.concatenate([no_purchase, purchases["purchase_order_id"]]),
        "created_at": created_at,
        "last_updated": created_at,
    }


def _settle(payments: Columns, batches: Times) -> Columns:
    """Marks payments as paid that the paid batch of their payment date found, if that day has one."""
    days = batches.astype("datetime64[D]")
    batch = np.searchsorted(days, payments["payment_date"]).clip(max=len(days) - 1)
    due = days[batch] == payments["payment_date"]
    paid = due & (payments["created_at"] < batches[batch])
    return {**payments, "paid": paid, "last_updated": np.where(paid, batches[batch], payments["created_at"])}


def _minute(moments: Times) -> Times:
    return moments.astype("datetime64[m]")


def _arrival(rng: np.random.Generator, created_at: Times) -> Ids:
    """Returns each row's position, from 1, in the race for an id: by minute, and random within the minute."""
    place = np.empty(len(created_at), dtype=np.int64)
    place[np.lexsort((rng.random(len(created_at)), _minute(created_at)))] = _ids(0, len(created_at))
    return place


def _heap_order(rng: np.random.Generator, count: int) -> Ids:
    place = np.arange(count, dtype=np.float64)
    rewritten = rng.random(count) < _REWRITTEN
    place[rewritten] = rng.uniform(place[rewritten], count)
    return np.argsort(place, kind="stable")


def _stored(columns: Columns, order: Ids) -> dict[str, Any]:
    stored: dict[str, Any] = {name: values[order] for name, values in columns.items()}
    for name in stored.keys() & set(trading.MONEY):
        hundredths = pa.array(stored[name]).cast(pa.decimal128(19, 0))
        stored[name] = pc.multiply(hundredths, pa.scalar(Decimal("0.01")))
    return stored
