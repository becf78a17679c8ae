"""The last batch that the warehouse has loaded, in the lake: by it, what is on its way is told from what is lost."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from totes.contracts.declarations import Column, WarehouseTable, source_tables, type_in_use
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest
from totes.lake.parquet import batches
from totes.lake.texts import texts
from totes.postgres.connection import quoted
from totes.source import fence


class LoadedBatch:
    """One batch.

    Args:
        manifest: its manifest in the processed zone.
        no_fence: why rows that were written since can't be told; None where they can.
        landing, processed: the zones.
        folder: for files that are fetched.
    """

    def __init__(self, manifest: Manifest, no_fence: str | None, landing: Lake, processed: Lake, folder: Path) -> None:
        self.no_fence = no_fence
        self._manifest = manifest
        self._landing = landing
        self._processed = processed
        self._folder = folder

    @property
    def number(self) -> int:
        return self._manifest.batch

    @property
    def snapshot_at(self) -> datetime:
        """The moment at which totesys was as the warehouse shows it."""
        return self._manifest.snapshot_at

    def is_new(self) -> dict[str, str]:
        """SQL by table of totesys, true of the rows that are not older than the fence."""
        at = self._manifest.source.fence
        return {
            name: "false" if self.no_fence or at is None else fence.is_new(at, quoted(name)) for name in source_tables()
        }

    def had(self, table: WarehouseTable, keys: Collection[int]) -> set[int]:
        """Those of the keys that were in totesys at the batch's snapshot."""
        source = source_tables()[table.source or ""]
        stored = self._landed_manifest.tables.get(source.name, {}).get("keys")
        found = self._rows(self._landing, stored, source.key, keys)
        return {key for rows in found for key in rows.column(source.key).to_pylist()}

    def brought(
        self, table: WarehouseTable, columns: Sequence[str], keys: Collection[int]
    ) -> dict[int, list[str | None]]:
        """Those of the keys whose rows the batch brought, with these columns as the texts of `Side`."""
        stored = self._manifest.tables.get(table.name, {}).get("data")
        brought: dict[int, list[str | None]] = {}
        for rows in self._rows(self._processed, stored, table.identity, keys):
            values = zip(*(_texts(rows, table.column(name)) for name in columns), strict=True)
            brought |= dict(zip(rows.column(table.identity).to_pylist(), map(list, values), strict=True))
        return brought

    @cached_property
    def _landed_manifest(self) -> Manifest:
        return BatchLog(self._landing).read(self.number)

    def _rows(
        self, zone: Lake, stored: StoredObject | None, key: str, keys: Collection[int]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of an object whose key is one of the keys."""
        if stored is None or not keys:
            return
        path, sought = self._folder / stored.sha256, pa.array(keys)
        if not path.exists():
            zone.fetch(stored, path)
        for rows in batches(path):
            # A batch may hold keys of fewer bits than those that are asked for.
            column = rows.column(key).cast(sought.type)
            yield rows.filter(pc.is_in(column, value_set=sought))


def _texts(rows: pa.RecordBatch, column: Column) -> list[str | None]:
    if column.name not in rows.schema.names:
        # The batch was processed before the column was declared.
        return [None] * rows.num_rows
    found: list[str | None] = texts(rows.column(column.name), type_in_use(column)).to_pylist()
    return found
