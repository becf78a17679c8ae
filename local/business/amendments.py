"""Makes silent updates: changes cells of orders and designs, and leaves the row's last_updated alone."""

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from pg8000.native import identifier

from local.business import catalogue, trading
from local.business.connection import Cursor
from local.business.rates import SEEN, TOTAL
from local.business.trading import Ids, Parties

# Draws again if the row does not exist or already has the value: ids may have gaps.
_DRAWS = 100


class Amendment(NamedTuple):
    """A cell that changed in place."""

    table: str
    id: int
    column: str


def amend(
    cursor: Cursor, rng: np.random.Generator, moment: datetime, parties: Parties, design_ids: Ids
) -> Amendment | None:
    """Changes one cell of a random row of any age. Returns None if there is no row to change.

    Args:
        moment: when it happens, UTC without a zone. A new delivery date is within a week after it.
    """
    table, column = list(SEEN)[rng.choice(len(SEEN), p=np.array(list(SEEN.values())) / TOTAL)]
    last = _last_id(cursor, table)
    for _ in range(_DRAWS):
        row = int(rng.integers(last + 1))
        if _update(cursor, table, column, row, _value(rng, column, moment, parties, design_ids)):
            return Amendment(table, row, column)
    return None


def _last_id(cursor: Cursor, table: str) -> int:
    cursor.execute(" ".join(("SELECT coalesce(max(", identifier(f"{table}_id"), "), 0) FROM", identifier(table))))
    last: int = cursor.fetchone()[0]
    return last


def _update(cursor: Cursor, table: str, column: str, row: int, value: object) -> bool:
    """Changes a cell. Returns False if the row does not exist or already has the value."""
    key, name = identifier(f"{table}_id"), identifier(column)
    statement = ("UPDATE", identifier(table), "SET", name, "= %s WHERE", key, "= %s AND", name, "<> %s")
    cursor.execute(" ".join(statement), (value, row, value))
    return cursor.rowcount > 0


def _value(rng: np.random.Generator, column: str, moment: datetime, parties: Parties, design_ids: Ids) -> Any:
    match column:
        case "design_id":
            return int(rng.choice(design_ids))
        case "staff_id":
            return int(rng.choice(parties.staff))
        case "agreed_delivery_location_id":
            return int(rng.choice(parties.addresses))
        case "agreed_delivery_date":
            now = np.array([moment], dtype="datetime64[ms]")
            return str(trading.dates_within(rng, now, trading.DELIVERY_DAYS)[0])
        case "item_code":
            return str(trading.item_codes(rng, 1)[0])
        case _:
            return str(rng.choice(catalogue.FILE_LOCATIONS))
