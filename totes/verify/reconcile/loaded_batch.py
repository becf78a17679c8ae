"""The last batch that the warehouse has loaded, in the lake: by it, what is on its way is told from what is lost."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy

from cli.deployment import WarehouseEmpty
from cli.errors import CommandFailed
from totes.contracts.declarations import Column, WarehouseTable, source_tables
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest
from totes.lake.parquet import batches
from totes.postgres.connection import quoted
from totes.source import fence

if TYPE_CHECKING:
    from totes.runtime.names import Names
    from totes.verify.reconcile.snapshots import Snapshots

_LAST = sqlalchemy.text("SELECT batch_id, snapshot_at FROM etl.batch ORDER BY batch_id DESC LIMIT 1")


class LoadedBatch:
    """One batch.

    Args:
        processed: its manifest in the processed zone.
        no_fence: why rows that were written since can't be told; None where they can.
        folder: for files that are fetched.
    """

    def __init__(self, names: "Names", processed: Manifest, no_fence: str | None, folder: Path) -> None:
        self.no_fence = no_fence
        self._names = names
        self._processed = processed
        self._folder = folder

    @property
    def number(self) -> int:
        return self._processed.batch

    @property
    def snapshot_at(self) -> datetime:
        """The moment at which totesys was as the warehouse shows it."""
        return self._processed.snapshot_at

    def is_new(self) -> dict[str, str]:
        """SQL by table of totesys, true of the rows that are not older than the fence."""
        at = self._processed.source.fence
        return {
            name: "false" if self.no_fence or at is None else fence.is_new(at, quoted(name)) for name in source_tables()
        }

    def had(self, table: WarehouseTable, keys: Collection[int]) -> set[int]:
        """Those of the keys that were in totesys at the batch's snapshot."""
        source = source_tables()[table.source or ""]
        stored = self._landed.tables.get(source.name, {}).get("keys")
        found = self._rows(self._names.landing_bucket, stored, source.key, keys)
        return {key for rows in found for key in rows.column(source.key).to_pylist()}

    def brought(
        self, table: WarehouseTable, columns: Sequence[str], keys: Collection[int]
    ) -> dict[int, list[str | None]]:
        """Those of the keys whose rows the batch brought, with these columns as the texts of `Side`."""
        stored = self._processed.tables.get(table.name, {}).get("data")
        brought: dict[int, list[str | None]] = {}
        for rows in self._rows(self._names.processed_bucket, stored, table.identity, keys):
            texts = zip(*(_texts(rows, table.column(name)) for name in columns), strict=True)
            brought |= dict(zip(rows.column(table.identity).to_pylist(), map(list, texts), strict=True))
        return brought

    @cached_property
    def _landed(self) -> Manifest:
        return BatchLog(Lake(self._names.landing_bucket)).read(self.number)

    def _rows(
        self, bucket: str, stored: StoredObject | None, key: str, keys: Collection[int]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of an object whose key is one of the keys."""
        if stored is None or not keys:
            return
        path = self._folder / stored.sha256
        if not path.exists():
            Lake(bucket).fetch(stored, path)
        for rows in batches(path):
            column = rows.column(key)
            yield rows.filter(pc.is_in(column, value_set=pa.array(keys, column.type)))


@contextmanager
def loaded_batch(names: "Names", snapshots: "Snapshots") -> Iterator[LoadedBatch]:
    """Finds the last batch that the warehouse has loaded.

    Raises:
        WarehouseEmpty: there is none.
        CommandFailed: the lake's batch of that number is another one.
        LogBroken, CorruptObject, LakeUnavailable: the lake does not give it.
    """
    last = next(iter(snapshots.warehouse(_LAST)), None)
    if last is None:
        raise WarehouseEmpty
    manifest = BatchLog(Lake(names.processed_bucket)).read(last.batch_id)
    if manifest.snapshot_at != last.snapshot_at:
        raise CommandFailed(
            f"The warehouse has loaded a batch {last.batch_id} of {last.snapshot_at}; in s3://{names.processed_bucket} "
            f"batch {last.batch_id} is of {manifest.snapshot_at}. They do not belong together. "
            "Put this stage's warehouse into the secret. If it is there already, `totes replay --swap` brings it to "
            "what the lake says."
        )
    no_fence = fence.reason_to_read_all(manifest.source, snapshots.position)
    with TemporaryDirectory(prefix="totes-reconcile-") as folder:
        yield LoadedBatch(names, manifest, no_fence, Path(folder))


def _texts(rows: pa.RecordBatch, column: Column) -> list[str | None]:
    if column.name not in rows.schema.names:
        # The batch was processed before the column was declared.
        return [None] * rows.num_rows
    texts = rows.column(column.name).cast(pa.string())
    if column.type_row.wire == "time":
        # PostgreSQL writes no zeros at the end of a second's fraction.
        texts = pc.replace_substring_regex(texts, r"\.?0+$", "")
    found: list[str | None] = texts.to_pylist()
    return found
