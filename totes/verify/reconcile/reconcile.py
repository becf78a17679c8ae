"""Reconciles: compares the warehouse with totesys, row by row."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from totes.contracts.declarations import WarehouseTable, warehouse_tables
from totes.lake.batch_log import BatchLog
from totes.source import fence
from totes.verify.reconcile.loaded_batch import LoadedBatch
from totes.verify.reconcile.result import Reconciliation
from totes.verify.reconcile.snapshots import snapshots
from totes.verify.reconcile.table import Seen, TableComparison
from totes.warehouse.log import last_entry, manifest_of

if TYPE_CHECKING:
    from totes.lake.bucket import Lake
    from totes.runtime.secrets import Credentials
    from totes.warehouse.warehouse import Warehouse


def comparable() -> dict[str, WarehouseTable]:
    """Returns the tables of the warehouse that come from a table of totesys."""
    return {name: table for name, table in warehouse_tables().items() if table.source}


def reconcile(
    warehouse: "Warehouse",
    source: "Credentials",
    landing: "Lake",
    processed: "Lake",
    tables: Sequence[WarehouseTable],
    seen: Seen = lambda _: None,
) -> Reconciliation | None:
    """Compares tables of the warehouse with totesys, each at one moment; returns None if nothing was ever loaded.

    Args:
        warehouse: in a transaction that shows one moment.
        source: the credentials of totesys.

    Raises:
        LogBroken: the warehouse does not belong to the lake.
        SourceUnreachable, LakeUnavailable, AccessDenied, ContractViolation: see totes.errors.
    """
    manifest = manifest_of(last_entry(warehouse), BatchLog(processed))
    if manifest is None:
        return None
    version = max(warehouse.execute("schema_versions").scalars())
    declared = [table for table in tables if table.since <= version]
    with snapshots(warehouse, source) as both, TemporaryDirectory(prefix="totes-reconcile-") as folder:
        no_fence = fence.reason_to_read_all(manifest.source, both.position)
        batch = LoadedBatch(manifest, no_fence, landing, processed, Path(folder))
        return Reconciliation(
            batch=batch.number,
            batch_at=batch.snapshot_at,
            totesys_at=both.taken_at,
            no_fence=no_fence,
            tables=[TableComparison(table, version, both, batch).run(seen) for table in declared],
        )
