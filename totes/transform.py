"""Transform: every landed batch that is not processed yet becomes a batch in the warehouse's shape.

A pure function of the landed batch: the same batch gives the same bytes, whenever and however often it runs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from totes.contracts.declarations import WarehouseTable, source_tables, warehouse_tables
from totes.contracts.requests import Request
from totes.errors import BatchContended
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest, Parts, parse_manifest
from totes.lake.parquet import batches, declared_rows, deleted_schema, landed_schema, parquet_writer, processed_schema
from totes.runtime.allowance import UNLIMITED, Allowance
from totes.runtime.log import about, logger
from totes.runtime.scratch import scratch
from totes.runtime.settings import TransformSettings
from totes.warehouse.star import calendar, joined, parts_to_join, shaped, years_of

# An execution that catches up moves the hint once in so many batches: it is one of the six requests of a small batch.
_HINTED_AFTER = 100


@dataclass
class Transformed:
    """What a run of transform did.

    Attributes:
        first, last: the batches that it processed; both None where there was nothing to do.
        rows: rows written, by table of the warehouse.
        processed_through: the last batch of the processed zone.
        more: whether batches are left because the time is up.
        catching_up: the ARN of the execution to which this one leaves the rest.
    """

    processed_through: int
    first: int | None = None
    last: int | None = None
    rows: dict[str, int] = field(default_factory=dict)
    more: bool = False
    catching_up: str | None = None

    @property
    def batches(self) -> int:
        return 0 if self.first is None or self.last is None else self.last - self.first + 1

    def add(self, manifest: Manifest) -> None:
        """Counts a batch in."""
        self.first, self.last = self.first or manifest.batch, manifest.batch
        for table, count in manifest.rows().items():
            self.rows[table] = self.rows.get(table, 0) + count


@dataclass(frozen=True)
class Prepared:
    """A batch that lies in the processed zone, but for its manifest."""

    batch: int
    rows: Mapping[str, int]


def transform(
    settings: TransformSettings, request: Request, allowance: Allowance = UNLIMITED, since: int | None = None
) -> Transformed:
    """Processes all batches that are landed and not yet processed, in order, or as many as there is time for.

    Two executions that process at once both do the same batch, and one of them commits it. The younger one then leaves
    the rest to the other. The other one reads the end of the log again when it has reached it, so no batch is left
    behind (ADR 19).

    Args:
        since: the first batch that this execution has processed in an earlier pass.

    Raises:
        LakeUnavailable: worth another try; what was finished stays finished.
        AccessDenied, CorruptObject, ObjectMissing, LogBroken, ContractViolation, VersionUnknown, DiskFull: see
            totes.errors.
    """
    landing, processed = Lake(settings.landing_bucket), Lake(settings.processed_bucket)
    landed_log, processed_log = BatchLog(landing), BatchLog(processed)
    done = Transformed(processed_through=processed_log.last())
    begun, end = 0, landed_log.last()
    while done.processed_through < end:
        if begun and allowance.is_half_used:
            done.more = True
            break
        begun = done.processed_through + 1
        logger.append_keys(batch=begun)
        manifest = _processed(landed_log.read(begun), landing, processed)
        manifest = replace(manifest, execution=request.execution, made_at=datetime.now(UTC))
        committer = _commit(processed_log, manifest, hint=begun == end or begun % _HINTED_AFTER == 0)
        done.processed_through = begun
        if committer == request.execution:
            done.add(manifest)
        elif begun < end and _is_older(committer, since or done.first, processed_log):
            done.catching_up = committer
            break
        if begun == end:
            end = landed_log.last()
    return done


def prepare(settings: TransformSettings, batch: int) -> Prepared:
    """Processes one landed batch of a backfill, beside others; `transform` commits it when its turn has come.

    Raises:
        LakeUnavailable: worth another try.
        AccessDenied, CorruptObject, ObjectMissing, LogBroken, ContractViolation, VersionUnknown, DiskFull: see
            totes.errors.
    """
    landing, processed = Lake(settings.landing_bucket), Lake(settings.processed_bucket)
    with about(batch=batch):
        manifest = process(BatchLog(landing).read(batch), landing, processed)
        processed.add_json(_draft(batch), manifest.as_json())
    return Prepared(batch, manifest.rows())


def process(landed: Manifest, landing: Lake, processed: Lake) -> Manifest:
    """Writes one batch in the warehouse's shape, but for its manifest, which it returns."""
    with scratch() as folder:
        batch = _Batch(landed, landing, processed, folder)
        tables: dict[str, Parts] = {}
        for table in warehouse_tables().values():
            if parts := dict(batch.parts(table)):
                tables[table.name] = parts
        tables |= batch.calendars()
        tables |= {
            source: {"aside": batch.copied(source, stored)} for source, stored in landed.objects("aside").items()
        }
    return replace(landed, tables=tables)


def _processed(landed: Manifest, landing: Lake, processed: Lake) -> Manifest:
    if landed.is_of_backfill and (draft := processed.read(_draft(landed.batch))):
        return parse_manifest(draft, f"s3://{processed.bucket}/{_draft(landed.batch)}")
    return process(landed, landing, processed)


def _commit(log: BatchLog, manifest: Manifest, *, hint: bool) -> str:
    """Commits a batch, unless another execution has; returns the ARN of the one that has committed it."""
    try:
        log.commit(manifest, hint=hint)
    except BatchContended:
        return log.read(manifest.batch).execution
    return manifest.execution


def _is_older(other: str, first: int | None, log: BatchLog) -> bool:
    """Returns whether another execution is older: it committed the batch before this one's first."""
    return first is None or (first > 1 and log.read(first - 1).execution == other)


def _draft(batch: int) -> str:
    return f"backfill/{batch:08d}.json"


class _Batch:
    """One landed batch on its way into the processed zone, by way of files in a folder."""

    def __init__(self, landed: Manifest, landing: Lake, processed: Lake, folder: Path) -> None:
        self._landed = landed
        self._landing = landing
        self._processed = processed
        self._folder = folder
        self._years: set[int] = set()

    def parts(self, table: WarehouseTable) -> Iterator[tuple[str, StoredObject]]:
        """The objects of a fact or dimension, as far as the batch says anything about it."""
        landed = self._landed.tables.get(table.source or "", {})
        if "data" in landed:
            written = self._write(table, self._shaped(table))
            landed["data"].require_rows(written.rows)
            yield "data", written
        if "deleted" in landed:
            yield "deleted", self._write_deleted(table, landed["deleted"])

    def calendars(self) -> dict[str, Parts]:
        """The calendar of the years that the batch's facts refer to."""
        calendars = [table for table in warehouse_tables().values() if table.kind == "calendar" and self._years]
        return {table.name: {"data": self._write(table, [calendar(table, self._years)])} for table in calendars}

    def copied(self, source: str, aside: StoredObject) -> StoredObject:
        """The rows of a table of totesys that are quarantined, as they were landed."""
        return self._processed.add(self._fetched(aside), f"aside/{source}/batch={self._landed.batch:08d}", aside.rows)

    def _shaped(self, table: WarehouseTable) -> Iterator[pa.Table]:
        source = table.source or ""
        parents = {name: self._all_rows(name) for name in table.join}
        for rows in self._rows(source):
            for part in parts_to_join(table, rows, parents):
                beside = joined(table, {source: pa.Table.from_batches([part]), **parents}) if parents else part
                made = shaped(table, beside)
                self._years |= years_of(table, made)
                yield made

    def _rows(self, source: str) -> Iterator[pa.RecordBatch]:
        schema = landed_schema(source_tables()[source])
        for rows in batches(self._fetched(self._landed.tables[source]["data"])):
            yield declared_rows(rows, schema)

    def _all_rows(self, source: str) -> pa.Table:
        rows = list(self._rows(source))
        # They may lack columns that were declared later.
        return pa.Table.from_batches(rows) if rows else landed_schema(source_tables()[source]).empty_table()

    def _fetched(self, stored: StoredObject) -> Path:
        path = self._folder / stored.sha256
        return path if path.exists() else self._landing.fetch(stored, path)

    def _write(self, table: WarehouseTable, pieces: Iterator[pa.Table] | list[pa.Table]) -> StoredObject:
        path, rows = self._folder / f"{table.name}.data", 0
        with about(table=table.name):
            with parquet_writer(path, processed_schema(table)) as writer:
                for piece in pieces:
                    writer.write_table(piece)
                    rows += piece.num_rows
            logger.info("shaped", rows=rows)
        return self._add(table, "data", path, rows)

    def _write_deleted(self, table: WarehouseTable, deleted: StoredObject) -> StoredObject:
        path, schema = self._folder / f"{table.name}.deleted", deleted_schema(table)
        with parquet_writer(path, schema) as writer:
            for keys in batches(self._fetched(deleted)):
                writer.write_batch(pa.record_batch(keys.columns, schema=schema))
        return self._add(table, "deleted", path, deleted.rows)

    def _add(self, table: WarehouseTable, part: str, path: Path, rows: int) -> StoredObject:
        return self._processed.add(path, f"{part}/{table.name}/batch={self._landed.batch:08d}", rows)
