"""Loads batches of the lake into the warehouse, each in one transaction with its entry in the log."""

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from totes.contracts.declarations import WarehouseTable, warehouse_tables
from totes.errors import ContractViolation, LogBroken
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake
from totes.lake.manifest import Manifest
from totes.lake.side_by_side import SideBySide
from totes.runtime.allowance import Allowance
from totes.runtime.log import about, logger
from totes.runtime.scratch import scratch
from totes.warehouse import rules, staging
from totes.warehouse.log import last_batch
from totes.warehouse.warehouse import Warehouse


def load_next(
    warehouse: Warehouse,
    log: BatchLog,
    processed: Lake,
    pending: deque[int],
    last: Manifest | None,
    execution: str,
    begins: Callable[[int], object],
    allowance: Allowance,
) -> list[tuple[Manifest, Mapping[str, staging.Loaded] | None]]:
    """Loads the next batch in one transaction, and with it as many after it as it takes for the checks to hold.

    So no reader sees a mistake that a later batch corrects, and it stops nobody. The first batch after a backfill's
    brings the rows that those lack, so the rows of a backfill are checked in that batch.

    Args:
        pending: the numbers of the batches to load; those that are loaded are taken out of it.
        last: the last batch that the warehouse has loaded.
        begins: is told the number of each batch, in the transaction that is about to load it.

    Returns:
        Each batch, with what it did to each table; None if another execution has loaded it meanwhile.

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
        with SideBySide() as threads:
            files = {
                (table, part): threads.submit(processed.fetch, stored, folder / f"{manifest.batch}.{table}.{part}")
                for part in ("data", "deleted", "aside")
                for table, stored in manifest.objects(part).items()
            }
        self.files = {name: file.result() for name, file in files.items()}


def _fetched(log: BatchLog, processed: Lake, batch: int, folder: Path) -> _Fetched:
    logger.append_keys(batch=batch)
    return _Fetched(log.read(batch), processed, folder)


def _load_batch(
    warehouse: Warehouse, fetched: _Fetched, execution: str, begins: Callable[[int], object]
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
