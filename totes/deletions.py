"""Deletions that are held until somebody confirms them.

A tombstone is written for every key that is gone. If the source was emptied or exchanged by mistake, that would be all
of them: the history would keep every row, but no view would show one.
"""

import json
from collections.abc import Mapping

from totes.contracts import source_tables
from totes.errors import DeletionsHeld

# Up to so many rows may go at once, however small the table is.
FEW = 100


def require_accepted(gone: Mapping[str, tuple[int, int]], same_source: bool, accepted: Mapping[str, int]) -> None:
    """Checks that no more rows are gone than are taken for deleted without being asked.

    Args:
        gone: how many rows of a table are gone, and how many there were.
        same_source: whether the source is the one of the batch before; if it is not, no deletion is believed.
        accepted: how many rows of a table somebody has confirmed.

    Raises:
        DeletionsHeld: names all tables, with the input that confirms them.
    """
    held = {
        table: (rows, of)
        for table, (rows, of) in gone.items()
        if rows > accepted.get(table, 0)
        and not (same_source and (rows <= FEW or rows <= of * source_tables()[table].max_deleted_share))
    }
    if not held:
        return
    counts = ", ".join(f"{rows:,} of {of:,} rows of {table}" for table, (rows, of) in held.items())
    whence = "" if same_source else " It is another database or server than the last batch was read from."
    confirm = json.dumps({"accept_deletions": {table: rows for table, (rows, _) in held.items()}})
    otherwise = (
        "restore them in totesys; then the next execution succeeds."
        if same_source
        else "put the right host and database into the source's secret; then the next execution succeeds."
    )
    raise DeletionsHeld(
        f"totesys no longer has {counts}.{whence}",
        f"If they were meant to go, start an execution with the input {confirm}. If not, {otherwise}",
    )
