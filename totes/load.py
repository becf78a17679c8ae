"""Load: loads each processed batch that the warehouse lacks, in one transaction with its entry in the log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from totes.contracts.requests import Request
from totes.lake.batch_log import BatchLog, batch_of
from totes.lake.bucket import Lake
from totes.lake.manifest import Manifest
from totes.lake.read_ahead import ReadAhead
from totes.lake.side_by_side import SideBySide
from totes.postgres.connection import WAREHOUSE, connected
from totes.postgres.tls import weakness
from totes.runtime.allowance import UNLIMITED, Allowance
from totes.runtime.log import logger
from totes.runtime.secrets import read_credentials
from totes.runtime.settings import LoadSettings
from totes.warehouse import schema
from totes.warehouse.log import last_entry, manifest_of
from totes.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from totes.warehouse.staging import Loaded

# Is called with a batch's number, in the transaction that is about to load it.
Begins = Callable[[int], object]


@dataclass
class LoadResult:
    """The result of a run of Load.

    Attributes:
        first, last: the first and last batch that it loaded; both None if there was nothing to do.
        inserted: how many rows it added, by table; for a fact, versions.
        updated: how many rows of dimensions it changed, by table.
        tombstones: how many rows it found deleted, by table.
        loaded_through: the last batch of the warehouse.
        processed_through: the last batch of the processed zone; None if it is not known yet.
        more: whether batches are left because the time is up.
        catching_up: the ARN of the execution to which this one leaves the rest.
        snapshot_at: when the snapshot of `last` was taken; None if nothing was loaded.
    """

    loaded_through: int = 0
    first: int | None = None
    last: int | None = None
    inserted: dict[str, int] = field(default_factory=dict)
    updated: dict[str, int] = field(default_factory=dict)
    tombstones: dict[str, int] = field(default_factory=dict)
    processed_through: int | None = None
    snapshot_at: datetime | None = None
    more: bool = False
    catching_up: str | None = None

    @property
    def batches(self) -> int:
        return 0 if self.first is None or self.last is None else self.last - self.first + 1

    @property
    def behind(self) -> int | None:
        """Returns how many processed batches the warehouse still lacks; None if that is not known yet."""
        return None if self.processed_through is None else self.processed_through - self.loaded_through

    def add(self, manifest: Manifest, done: "Mapping[str, Loaded] | None") -> None:
        """Adds a batch to the counts. A batch that another execution loaded only advances `loaded_through`."""
        self.loaded_through = manifest.batch
        if done is None:
            return
        self.first, self.last = self.first or manifest.batch, manifest.batch
        self.snapshot_at = manifest.snapshot_at
        for table, loaded in done.items():
            for counts, rows in (
                (self.inserted, loaded.inserted),
                (self.updated, loaded.updated),
                (self.tombstones, loaded.deleted),
            ):
                if rows:
                    counts[table] = counts.get(table, 0) + rows


def load(
    settings: LoadSettings,
    request: Request,
    result: LoadResult | None = None,
    allowance: Allowance = UNLIMITED,
) -> LoadResult:
    """Loads all batches that are processed and not yet loaded, in order, or as many as there is time for.

    Args:
        result: gets each batch that is committed, so the caller knows what was done before a failure; None: a new one.

    Raises:
        WarehouseUnreachable, WarehouseBusy, LakeUnavailable: worth another try; a batch is loaded whole or not at all.
        AccessDenied, DatabaseFailed, LogBroken, CorruptObject, ObjectMissing, ContractViolation, VersionUnknown,
            DiskFull: see totes.errors.
    """
    credentials = read_credentials(settings.warehouse_secret)
    if weak := weakness(credentials):
        logger.warning(weak)
    with (
        # While this connects and reads the logs, it begins to download the batch that Transform says it has processed.
        ReadAhead(settings.processed_bucket, request.processed_objects) as processed,
        connected(WAREHOUSE, credentials, "totes-load") as connection,
    ):
        return load_pending(
            Warehouse(connection),
            processed,
            request.execution,
            result=result,
            allowance=allowance,
            known=request.processed_through,
        )


def load_pending(
    warehouse: Warehouse,
    processed: Lake,
    execution: str,
    through: int | None = None,
    begins: Begins | None = None,
    result: LoadResult | None = None,
    allowance: Allowance = UNLIMITED,
    known: int = 0,
) -> LoadResult:
    """Loads all pending batches into a warehouse.

    Two executions that load at once wait for each other. If the younger one finds that the older one has loaded its
    batch meanwhile, and the batch before, it leaves the rest to the older one. When that one reaches the end of the
    log, it reads the end again, so no batch is left behind (ADR 19).

    Args:
        through: the last batch to load; None: the last one that there is.
        begins: is called with each batch's number. If it is given, each batch has its own transaction.
        known: a batch that the caller knows to be processed.
    """
    log = BatchLog(processed, known)
    result = result or LoadResult()
    with SideBySide() as threads:
        newest = threads.submit(log.newest) if through is None else None
        schema.migrate(warehouse)
        with warehouse.begin():
            entry = last_entry(warehouse)
            last = manifest_of(entry, log)
    result.loaded_through = batch_of(last)
    end = batch_of(newest.result()) if newest else through or 0
    # Another execution may have loaded a batch after this one read the lake's log.
    result.processed_through = end = max(end, result.loaded_through)
    if result.loaded_through == end:
        return result
    # Imported here because pyarrow takes 0.2 s, and a run that finds nothing new doesn't need it.
    from totes.warehouse.batch_loader import BatchLoader

    # Others leave the rest only to an execution with two batches in a row.
    looks_again = end > result.loaded_through + 1 or (entry is not None and entry.execution == execution)
    loader, begun = BatchLoader(warehouse, log, processed, execution, allowance, begins), False
    while result.loaded_through < end:
        if begun and allowance.is_half_used:
            result.more = True
            break
        begun = True
        for manifest, loaded in loader.load_next(range(result.loaded_through + 1, end + 1), last):
            result.add(manifest, loaded)
            last = manifest
        if result.loaded_through < end:
            if loaded is None and (other := _other_loader(warehouse, execution, end)):
                result.catching_up = other
                break
        elif through is None and looks_again:
            result.processed_through = end = max(end, log.last())
    return result


def _other_loader(warehouse: Warehouse, execution: str, end: int) -> str | None:
    """Returns the ARN of the execution that loaded the last two batches, if that execution is older than this one.

    The older one has loaded its first batch earlier. Returns None if it is this execution or a younger one, or if no
    batch is left to load.
    """
    with warehouse.begin():
        last = last_entry(warehouse)
        if last.batch_id >= end:
            return None
        found = warehouse.execute(
            "compare_executions", {"ours": execution, "other": last.execution, "before": last.batch_id - 1}
        ).one()
    is_older = found.our_first is None or found.other_first < found.our_first
    return str(last.execution) if found.other_loaded_before and is_older else None
