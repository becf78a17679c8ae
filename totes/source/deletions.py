"""Holds deletions until somebody confirms them.

Every key that is gone gets a tombstone. If somebody emptied or exchanged the source by mistake, every key would get
one. The history would then keep every row, but the current views would show none.
"""

import json
from collections.abc import Mapping

from totes.contracts.declarations import source_tables
from totes.errors import DeletionsHeld

# This many rows may be deleted at once without confirmation, however small the table is.
FEW = 100


def require_accepted(gone: Mapping[str, tuple[int, int]], same_source: bool, accepted: Mapping[str, int]) -> None:
    """Raises DeletionsHeld if more rows are gone than may go without confirmation.

    Args:
        gone: (rows gone, rows before), by table.
        same_source: whether the batch before has the same source. If not, every deletion needs confirmation.
        accepted: how many deletions somebody has confirmed, by table.

    Raises:
        DeletionsHeld: names the tables, and the input that confirms the deletions.
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
    whence = "" if same_source else " It is not the database or server of the last batch."
    options = " ".join(f"--accept-deletions {table}={rows}" for table, (rows, _) in held.items())
    confirm = json.dumps({"accept_deletions": {table: rows for table, (rows, _) in held.items()}})
    otherwise = (
        "restore them in totesys; the next execution then succeeds."
        if same_source
        else "put the right host and database into the source's secret; the next execution then succeeds."
    )
    raise DeletionsHeld(
        f"totesys no longer has {counts}.{whence}",
        f"If they were removed on purpose, start an execution by `totes run {options}`: its input is {confirm}. "
        f"If not, {otherwise}",
    ).about(held)
