"""Load: every processed batch that the warehouse lacks is loaded, each in one transaction with its entry in the log."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from totes.contracts.declarations import WarehouseTable, warehouse_tables
from totes.contracts.requests import Request
from totes.errors import ContractViolation, LogBroken
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake
from totes.lake.manifest import Manifest
from totes.postgres.connection import WAREHOUSE, connected
from totes.postgres.tls import weakness
from totes.runtime.allowance import UNLIMITED, Allowance
from totes.runtime.log import about, logger
from totes.runtime.scratch import scratch
from totes.runtime.secrets import read_credentials
from totes.runtime.settings import LoadSettings
from totes.warehouse import rules, schema, staging
from totes.warehouse.log import last_batch, last_manifest
from totes.warehouse.warehouse import Warehouse

# Is told the number of a batch, in the transaction that is about to load it.
Begins = Callable[[int], object]


@dataclass
class LoadResult:
    """What a run of load did.

    Attributes:
        first, last: the batches that it loaded; both None where there was nothing to do.
        inserted: rows added, by table; of a fact, versions.
        updated: rows of dimensions that changed, by table.
        tombstones: rows found deleted, by table.
        loaded_through: the last batch of the warehouse.
        processed_through: the last batch of the processed zone; None where it is not known yet.
        more: whether batches are left because the time is up.
        catching_up: the ARN of the execution to which this one leaves the rest.
        snapshot_at: the moment of totesys that `last` shows; None where nothing was loaded.
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
        """How many processed batches the warehouse still lacks; None where that is not known yet."""
        return None if self.processed_through is None else self.processed_through - self.loaded_through

    def add(self, manifest: Manifest, done: Mapping[str, staging.Loaded] | None) -> None:
        """Counts a batch in; one that somebody else has loaded only as far as the warehouse goes."""
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
        result: is filled with every batch that is committed, so that what was done before a failure is known; else a
            new one.

    Raises:
        WarehouseUnreachable, WarehouseBusy, LakeUnavailable: worth another try; a batch is loaded whole or not at all.
        AccessDenied, DatabaseFailed, LogBroken, CorruptObject, ObjectMissing, ContractViolation, VersionUnknown,
            DiskFull: see totes.errors.
    """
    credentials = read_credentials(settings.warehouse_secret)
    if weak := weakness(credentials):
        logger.warning(weak)
    with connected(WAREHOUSE, credentials, "totes-load") as connection:
        return load_pending(
            Warehouse(connection),
            Lake(settings.processed_bucket),
            request.execution,
            result=result,
            allowance=allowance,
        )


def load_pending(
    warehouse: Warehouse,
    processed: Lake,
    execution: str,
    through: int | None = None,
    begins: Begins = lambda _batch: None,
    result: LoadResult | None = None,
    allowance: Allowance = UNLIMITED,
) -> LoadResult:
    """Loads all pending batches into a warehouse.

    Two executions that load at once wait for each other. If the younger one finds that the other has loaded its batch
    meanwhile, it leaves it the rest. The other one reads the end of the log again when it has reached it, so no batch
    is left behind (ADR 19).

    Args:
        through: the last batch to load; None: the last that there is.
    """
    log = BatchLog(processed)
    schema.migrate(warehouse)
    result = result or LoadResult()
    with warehouse.begin():
        last = last_manifest(warehouse, log)
    result.loaded_through = last.batch if last else 0
    result.processed_through = log.last() if through is None else through
    pending = deque(range(result.loaded_through + 1, result.processed_through + 1))
    begun = False
    while pending:
        if begun and allowance.is_half_used:
            result.more = True
            break
        begun = True
        for manifest, loaded in _load_next(warehouse, log, processed, pending, last, execution, begins, allowance):
            result.add(manifest, loaded)
            last = manifest
        if loaded is None and pending and (other := _other_loader(warehouse, execution, pending[-1])):
            result.catching_up = other
            break
        if not pending and through is None:
            pending.extend(range(result.processed_through + 1, log.last() + 1))
            result.processed_through += len(pending)
    return result


def _other_loader(warehouse: Warehouse, execution: str, end: int) -> str | None:
    """Returns the ARN of the execution that loaded the last batch, if it loaded its first batch before this one did.

    Returns None if it is this execution or a younger one, or if no batch is left to load.
    """
    with warehouse.begin():
        row = warehouse.execute("last_batch").one()
        if row.execution == execution or row.batch_id >= end:
            return None
        first = warehouse.execute("first_batches", {"ours": execution, "other": row.execution}).one()
    return str(row.execution) if first.ours is None or first.other < first.ours else None


def _load_next(
    warehouse: Warehouse,
    log: BatchLog,
    processed: Lake,
    pending: deque[int],
    last: Manifest | None,
    execution: str,
    begins: Begins,
    allowance: Allowance,
) -> list[tuple[Manifest, Mapping[str, staging.Loaded] | None]]:
    """Loads the next batch in one transaction, and with it as many after it as it takes for the checks to hold.

    So no reader sees a mistake that a later batch corrects, and it stops nobody. The first batch after a backfill's
    brings the rows that those lack, so the rows of a backfill are checked in that batch.

    Raises:
        ContractViolation: the checks do not hold, and no batch or no time is left to correct that.
    """
    with scratch() as folder:
        fetched = _fetched(log, processed, pending.popleft(), folder)
        with warehouse.begin():
            warehouse.lock()
            before = {**rules.record_ids(warehouse), **_unchecked(warehouse, log, last)}
            done = [(fetched.manifest, _load_batch(warehouse, fetched, execution, begins))]
            if fetched.manifest.is_of_backfill:
                return done
            while broken := rules.broken_since(warehouse, before):
                if not pending:
                    raise rules.broken_check(broken)
                if allowance.is_nearly_used:
                    raise _uncorrected(rules.broken_check(broken), len(done))
                fetched = _fetched(log, processed, pending.popleft(), folder)
                done.append((fetched.manifest, _load_batch(warehouse, fetched, execution, begins)))
    return done


def _uncorrected(error: ContractViolation, batches: int) -> ContractViolation:
    """Returns the error of a broken check that no batch in the time of one function corrects."""
    return ContractViolation(
        f"{error.found} The {batches:,} batches that one function has time for do not correct that, and more are left.",
        "Give the function load more time in serverless.yml (timeout, at most 900 s), and the tasks that call it more "
        "than that (TimeoutSeconds in statemachine/), and deploy. If no later batch corrects the rows, correct them in "
        "totesys as well.",
    ).about(error.tables)


def _unchecked(warehouse: Warehouse, log: BatchLog, last: Manifest | None) -> Mapping[str, int]:
    """The record ids before those of a backfill, where one was loaded last."""
    if last is None or not last.is_of_backfill:
        return {}
    while last.batch > 1 and (before := log.read(last.batch - 1)).is_of_backfill:
        last = before
    return rules.record_ids_before(warehouse, last.batch)


class _Fetched:
    """The files of a batch, downloaded; of the first batch before the transaction begins."""

    def __init__(self, manifest: Manifest, processed: Lake, folder: Path) -> None:
        self.manifest = manifest
        self.files = {
            (table, part): processed.fetch(stored, folder / f"{manifest.batch}.{table}.{part}")
            for part in ("data", "deleted", "aside")
            for table, stored in manifest.objects(part).items()
        }


def _fetched(log: BatchLog, processed: Lake, batch: int, folder: Path) -> _Fetched:
    logger.append_keys(batch=batch)
    return _Fetched(log.read(batch), processed, folder)


def _load_batch(
    warehouse: Warehouse, fetched: _Fetched, execution: str, begins: Begins
) -> Mapping[str, staging.Loaded] | None:
    """Loads one batch; None where another execution has loaded it while this one waited for its turn.

    Raises:
        LogBroken: the warehouse lacks a batch before it.
    """
    manifest = fetched.manifest
    last = last_batch(warehouse)
    if last >= manifest.batch:
        return None
    if last != manifest.batch - 1:
        raise LogBroken(
            f"The warehouse has loaded up to batch {last}, and batch {manifest.batch} is about to follow.",
            "Redrive the execution: it loads what is missing first.",
        )
    begins(manifest.batch)
    warehouse.execute("add_batch", {"batch": manifest.batch, "moment": manifest.snapshot_at, "execution": execution})
    done = {table: _load_table(warehouse, fetched, table) for table in warehouse_tables() if table in manifest.tables}
    for source in manifest.objects("aside"):
        staging.note_quarantine(warehouse, source, fetched.files[source, "aside"], manifest.batch)
    for table, loaded in done.items():
        warehouse.execute("add_batch_table", {"batch": manifest.batch, "table": table, **vars(loaded)})
    return done


def _load_table(warehouse: Warehouse, fetched: _Fetched, name: str) -> staging.Loaded:
    table = warehouse_tables()[name]
    loaded = staging.Loaded()
    with about(table=name):
        if path := fetched.files.get((name, "data")):
            loaded = _load_rows(warehouse, fetched, table, path)
        if path := fetched.files.get((name, "deleted")):
            deleted = staging.stage_deleted(warehouse, table, path)
            fetched.manifest.tables[name]["deleted"].require_rows(deleted)
            staging.add_tombstones(warehouse, table, fetched.manifest.batch)
            loaded = staging.Loaded(**vars(loaded) | {"deleted": deleted})
        logger.info("loaded", **vars(loaded))
    return loaded


def _load_rows(warehouse: Warehouse, fetched: _Fetched, table: WarehouseTable, path: Path) -> staging.Loaded:
    stored = fetched.manifest.tables[table.name]["data"]
    if (
        table.is_fact
        and staging.is_to_be_filled(warehouse, table, stored.rows)
        and (filled := staging.copy_into_empty(warehouse, table, path))
    ):
        stored.require_rows(filled.staged)
        return filled
    staged = staging.stage(warehouse, table, path)
    stored.require_rows(staged)
    if table.is_fact:
        return staging.insert_versions(warehouse, table, staged)
    return staging.upsert(warehouse, table, staged, fetched.manifest.batch)
