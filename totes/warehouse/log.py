"""The warehouse's log: the batches that it has loaded."""

from typing import Any

from totes.errors import LogBroken
from totes.lake.batch_log import BatchLog
from totes.lake.manifest import Manifest
from totes.warehouse.warehouse import Warehouse


def last_batch(warehouse: Warehouse) -> int:
    """Returns the last batch that the warehouse has loaded; 0 if there is none."""
    return warehouse.scalar("last_batch") or 0


def last_entry(warehouse: Warehouse) -> Any:
    """Returns the log's last row: batch_id, snapshot_at, execution; None if the warehouse has loaded nothing."""
    return warehouse.execute("last_batch").one_or_none()


def manifest_of(loaded: Any, processed: BatchLog) -> Manifest | None:
    """Returns the lake's manifest of the last batch that the warehouse has loaded; None if there is none.

    Args:
        loaded: the last row of the warehouse's log.

    Raises:
        LogBroken: the lake has another batch under that number.
    """
    if loaded is None:
        return None
    if (known := processed.read(loaded.batch_id)).snapshot_at != loaded.snapshot_at:
        raise LogBroken(
            f"The warehouse has loaded a batch {loaded.batch_id} of {loaded.snapshot_at}; in the processed zone batch "
            f"{loaded.batch_id} is of {known.snapshot_at}. They do not belong together.",
            "Put this stage's warehouse into the secret. If it is there already, `totes replay --swap` brings it to "
            "what the lake says.",
        )
    return known
