"""Load: every processed batch that the warehouse lacks is loaded, each in one transaction with its entry in the log."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy

from totes import staging, warehouse
from totes.batch_log import BatchLog
from totes.contracts import warehouse_tables
from totes.database import WAREHOUSE, connected
from totes.errors import CorruptObject, LogBroken
from totes.lake import Lake
from totes.log import logger
from totes.manifest import Manifest
from totes.requests import Request
from totes.secrets import read_credentials
from totes.settings import LoadSettings


@dataclass
class LoadResult:
    """What a run of load did.

    Attributes:
        first, last: the batches that it loaded; both None where there was nothing to do.
        inserted: rows added, by table; of a fact, versions.
        updated: rows of dimensions that changed, by table.
        tombstones: rows found deleted, by table.
        loaded_through: the last batch of the warehouse.
    """

    loaded_through: int
    first: int | None = None
    last: int | None = None
    inserted: dict[str, int] = field(default_factory=dict)
    updated: dict[str, int] = field(default_factory=dict)
    tombstones: dict[str, int] = field(default_factory=dict)

    @property
    def batches(self) -> int:
        return 0 if self.first is None or self.last is None else self.last - self.first + 1

    def add(self, batch: int, done: Mapping[str, staging.Loaded]) -> None:
        """Counts a batch in."""
        self.first = self.first or batch
        self.last = self.loaded_through = batch
        for table, loaded in done.items():
            for counts, rows in (
                (self.inserted, loaded.inserted),
                (self.updated, loaded.updated),
                (self.tombstones, loaded.deleted),
            ):
                if rows:
                    counts[table] = counts.get(table, 0) + rows


def load(settings: LoadSettings, request: Request) -> LoadResult:
    """Loads all batches that are processed and not yet loaded, in order.

    Raises:
        WarehouseUnreachable, WarehouseBusy, LakeUnavailable: worth another try; a batch is loaded whole or not at all.
        AccessRefused, LogBroken, CorruptObject, ObjectMissing, ContractBroken, VersionUnknown: see totes.errors.
    """
    processed = Lake(settings.processed_bucket)
    log = BatchLog(processed)
    credentials = read_credentials(settings.warehouse_secret)
    with connected(WAREHOUSE, credentials, "totes-load") as connection:
        warehouse.migrate(connection)
        done, last = _loaded_through(connection, log), log.last()
        result = LoadResult(loaded_through=done)
        for batch in range(done + 1, last + 1):
            logger.append_keys(batch=batch)
            manifest = log.read(batch)
            with tempfile.TemporaryDirectory(prefix="totes-load-") as folder:
                fetched = _Fetched(manifest, processed, Path(folder))
                with connection.begin():
                    loaded = _load_batch(connection, fetched, request.execution)
            if loaded is None:
                result.loaded_through = batch
            else:
                result.add(batch, loaded)
    return result


def _loaded_through(connection: sqlalchemy.Connection, log: BatchLog) -> int:
    """The warehouse's last batch, having made sure that the lake knows it as the same."""
    with connection.begin():
        row = connection.execute(
            sqlalchemy.text("SELECT batch_id, snapshot_at FROM etl.batch ORDER BY batch_id DESC LIMIT 1")
        ).one_or_none()
    if row is None:
        return 0
    if log.read(row.batch_id).snapshot_at != row.snapshot_at:
        raise LogBroken(
            f"The warehouse has loaded a batch {row.batch_id} of {row.snapshot_at}, which is not batch {row.batch_id} "
            "of the processed zone.",
            "Point the function at the bucket that the warehouse was loaded from, or drop the warehouse's tables: "
            "the next run loads it anew from batch 1.",
        )
    return int(row.batch_id)


class _Fetched:
    """The files of a batch, downloaded before the transaction begins."""

    def __init__(self, manifest: Manifest, processed: Lake, folder: Path) -> None:
        self.manifest = manifest
        self.files = {
            (table, part): processed.fetch(stored, folder / f"{table}.{part}")
            for part in ("data", "deleted")
            for table, stored in manifest.objects(part).items()
        }


def _load_batch(
    connection: sqlalchemy.Connection, fetched: _Fetched, execution: str
) -> Mapping[str, staging.Loaded] | None:
    """Loads one batch; None where another execution has loaded it while this one waited for its turn."""
    manifest = fetched.manifest
    warehouse.lock(connection)
    last = connection.scalar(sqlalchemy.text("SELECT coalesce(max(batch_id), 0) FROM etl.batch"))
    if last >= manifest.batch:
        return None
    connection.execute(
        sqlalchemy.text(
            "INSERT INTO etl.batch (batch_id, snapshot_at, execution) VALUES (:batch, :moment, :execution)"
        ),
        {"batch": manifest.batch, "moment": manifest.snapshot_at, "execution": execution},
    )
    done = {table: _load_table(connection, fetched, table) for table in warehouse_tables() if table in manifest.tables}
    connection.execute(
        sqlalchemy.text(
            "INSERT INTO etl.batch_table VALUES (:batch, :table, :staged, :inserted, :updated, :deleted, :first, :last)"
        ),
        [{"batch": manifest.batch, "table": table, **vars(loaded)} for table, loaded in done.items()],
    )
    return done


def _load_table(connection: sqlalchemy.Connection, fetched: _Fetched, name: str) -> staging.Loaded:
    table = warehouse_tables()[name]
    loaded = staging.Loaded()
    if path := fetched.files.get((name, "data")):
        staged = staging.stage(connection, table, path)
        _require_rows(fetched.manifest, name, "data", staged)
        move = staging.insert_versions if table.is_fact else staging.upsert
        loaded = move(connection, table, staged)
    if path := fetched.files.get((name, "deleted")):
        deleted = staging.stage_deleted(connection, table, path)
        _require_rows(fetched.manifest, name, "deleted", deleted)
        staging.bury(connection, table, fetched.manifest.batch)
        loaded = staging.Loaded(**vars(loaded) | {"deleted": deleted})
    logger.info("loaded", table=name, **vars(loaded))
    return loaded


def _require_rows(manifest: Manifest, table: str, part: str, staged: int) -> None:
    expected = manifest.tables[table][part]
    if staged != expected.rows:
        raise CorruptObject(
            f"{expected.key} holds {staged} rows; its manifest says {expected.rows}.",
            "Restore the object's first version in S3 (the buckets are versioned) and redrive the execution.",
        )
