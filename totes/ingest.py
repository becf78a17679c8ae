"""Ingest: what changed in totesys since the batch before becomes the next batch of the landing zone."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from totes.batch_log import BatchLog
from totes.contracts import SourceTable, source_tables
from totes.database import TOTESYS, connected
from totes.fence import reason_to_read_all
from totes.lake import Lake, StoredObject, sha256_of
from totes.log import logger
from totes.manifest import Manifest
from totes.parquet import batches, keys_schema, write_keys
from totes.requests import Request
from totes.secrets import read_credentials
from totes.settings import IngestSettings
from totes.source import Count, Snapshot, joined_tables, snapshot

ASKED_FOR = "asked for by the execution's input"
UNEXPLAINED = "it holds rows that the fence did not show"


@dataclass(frozen=True)
class Ingested:
    """What a run of ingest did.

    Attributes:
        batch: the batch that it landed; None where nothing was new.
        rows: rows landed, by table.
        deleted: keys found gone, by table.
        full_read: tables read in full, with the reason.
        undeclared: columns of totesys that no contract declares, by table.
        landed_through: the last batch of the landing zone.
        processed_through: the last batch of the processed zone.
    """

    batch: int | None
    rows: Mapping[str, int]
    deleted: Mapping[str, int]
    full_read: Mapping[str, str]
    undeclared: Mapping[str, list[str]]
    landed_through: int
    processed_through: int

    @property
    def new_data(self) -> bool:
        """Whether there is anything for transform to do."""
        return self.landed_through > self.processed_through


def ingest(settings: IngestSettings, request: Request) -> Ingested:
    """Lands the next batch, if anything is new.

    Raises:
        SourceUnreachable, SourceBusy, LakeUnavailable, BatchContended: worth another try.
        ContractBroken: totesys is not as declared; nothing was landed.
        AccessRefused, LogBroken, CorruptObject, ObjectMissing, VersionUnknown: see totes.errors.
    """
    landing = Lake(settings.landing_bucket)
    log = BatchLog(landing)
    # The log is read before the snapshot is taken: a batch that is committed in between makes ours collide with it,
    # whereas the other way round an older snapshot could follow a newer one.
    last = log.last()
    previous = log.read(last) if last else None
    logger.append_keys(batch=last + 1)
    credentials = read_credentials(settings.source_secret)
    with tempfile.TemporaryDirectory(prefix="totes-ingest-") as folder:
        with connected(TOTESYS, credentials, "totes-ingest") as connection, snapshot(connection) as taken:
            change = _Change(taken, previous, request.full_read, landing, Path(folder))
        manifest = None
        if change.is_new():
            manifest = _manifest(change, taken, last + 1, request)
            log.commit(manifest)
    return Ingested(
        batch=manifest.batch if manifest else None,
        rows=manifest.rows() if manifest else {},
        deleted=manifest.rows("deleted") if manifest else {},
        full_read=change.full_read,
        undeclared=taken.undeclared,
        landed_through=manifest.batch if manifest else last,
        processed_through=BatchLog(Lake(settings.processed_bucket)).last(),
    )


def _manifest(change: "_Change", taken: Snapshot, batch: int, request: Request) -> Manifest:
    return Manifest(
        batch=batch,
        snapshot_at=taken.taken_at,
        execution=request.execution,
        made_at=datetime.now(UTC),
        source=taken.position,
        columns={name: [column.name for column in table.columns] for name, table in source_tables().items()},
        full_read=change.full_read,
        tables={table: dict(change.stored(table, batch)) for table in source_tables()},
    )


@dataclass(frozen=True)
class _File:
    path: Path
    rows: int


class _Change:
    """The difference between a snapshot and the batch before it, in files of a folder."""

    def __init__(
        self,
        taken: Snapshot,
        previous: Manifest | None,
        asked_for: tuple[str, ...],
        landing: Lake,
        folder: Path,
    ) -> None:
        self._taken = taken
        self._previous = previous
        self._landing = landing
        self._folder = folder
        self._files: dict[str, dict[str, _File]] = {}
        self._unfenced = reason_to_read_all(previous.source if previous else None, taken.position)
        self.full_read = _reasons(self._unfenced, previous, asked_for)
        self._collect()

    def is_new(self) -> bool:
        """Whether this is more than the batch before said already.

        While an old transaction of totesys keeps the fence where it is, the same rows come again; they are no news.
        Where the fence is of no use any more, a batch is due that brings a new one.
        """
        if self._previous is None or self._unfenced or any("deleted" in files for files in self._files.values()):
            return True
        data = {table: sha256_of(files["data"].path) for table, files in self._files.items() if "data" in files}
        said = {table: stored.sha256 for table, stored in self._previous.objects("data").items()}
        return bool(data) and data != said

    def stored(self, table: str, batch: int) -> Iterator[tuple[str, StoredObject]]:
        """Puts a table's files into the lake."""
        files = self._files.get(table, {})
        for part, file in files.items():
            yield part, self._landing.add(file.path, f"{part}/{table}/batch={batch:08d}", file.rows)
        if "keys" not in files and self._previous is not None:
            yield "keys", self._previous.tables[table]["keys"]

    def _collect(self) -> None:
        fence = self._previous.source.xmin if self._previous else None
        fences = {table: None if table in self.full_read else fence for table in source_tables()}
        counts = self._taken.counts(fences)
        for name, table in source_tables().items():
            partners = (name, *joined_tables().get(name, {}))
            if name in self.full_read or any(counts[partner].new for partner in partners):
                explained = self._read(table, fences, counts[name])
            else:
                explained = self._compare_keys(table, _no_keys(table), counts[name])
            if not explained:
                # Once more from the start: the tables that it is joined with are due as well.
                self.full_read[name] = UNEXPLAINED
                self._collect()
                return

    def _read(self, table: SourceTable, fences: Mapping[str, int | None], count: Count) -> bool:
        path = self._folder / f"{table.name}.data"
        keys = self._taken.extract(table, fences, path)
        self._files.setdefault(table.name, {})["data"] = _File(path, len(keys))
        logger.info("read", table=table.name, rows=len(keys))
        return self._compare_keys(table, keys, count)

    def _compare_keys(self, table: SourceTable, read: pa.Array, count: Count) -> bool:
        """Finds the keys that came and went; False where there are more rows than can be explained.

        Every key that was not there before belongs to a row that was read. So the number of rows alone tells whether
        any key has gone, exactly, and the keys themselves are asked for only then.
        """
        before = self._previous.tables.get(table.name, {}).get("keys") if self._previous else None
        if before is not None and not len(read) and count.all == before.rows:
            return True
        known = self._fetch_keys(table, before)
        came = read.filter(pc.invert(pc.is_in(read, value_set=known)))
        live = pa.concat_arrays([known, came])
        if count.all > len(live):
            return False
        if count.all < len(live):
            live = self._taken.keys(table)
            gone = known.filter(pc.invert(pc.is_in(known, value_set=live)))
            logger.info("deleted", table=table.name, rows=len(gone))
            self._write_keys(table, "deleted", gone)
        if before is None or len(came) or len(live) != before.rows:
            self._write_keys(table, "keys", live)
        return True

    def _fetch_keys(self, table: SourceTable, before: StoredObject | None) -> pa.Array:
        if before is None:
            return _no_keys(table)
        path = self._landing.fetch(before, self._folder / f"{table.name}.known")
        return pa.concat_arrays([_no_keys(table), *(batch.column(0) for batch in batches(path))])

    def _write_keys(self, table: SourceTable, part: str, keys: pa.Array) -> None:
        path = self._folder / f"{table.name}.{part}"
        write_keys(path, keys.take(pc.array_sort_indices(keys)), keys_schema(table))
        self._files.setdefault(table.name, {})[part] = _File(path, len(keys))


def _reasons(unfenced: str | None, previous: Manifest | None, asked_for: tuple[str, ...]) -> dict[str, str]:
    """The tables to read in full, each with the reason."""
    if unfenced:
        return dict.fromkeys(source_tables(), unfenced)
    read = previous.columns if previous else {}
    undeclared_before = {
        name: f"newly declared: {', '.join(new)}"
        for name, table in source_tables().items()
        if (new := [column.name for column in table.columns if column.name not in read.get(name, ())])
    }
    return undeclared_before | dict.fromkeys(asked_for, ASKED_FOR)


def _no_keys(table: SourceTable) -> pa.Array:
    return pa.array([], keys_schema(table).types[0])
