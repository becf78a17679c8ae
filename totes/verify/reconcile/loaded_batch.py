"""Reads the last loaded batch in the lake: it shows which changes are in flight, and which are lost."""

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
        no_fence: why the rows written since then can't be determined; None if they can.
        landing, processed: the zones.
        folder: where to put fetched files.
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
        """Returns the moment of totesys that the warehouse shows."""
        return self._manifest.snapshot_at

    def is_new(self) -> dict[str, str]:
        """Returns SQL by table of totesys that is true of rows which are not older than the fence."""
        at = self._manifest.source.fence
        return {
            name: "false" if self.no_fence or at is None else fence.is_new(at, quoted(name)) for name in source_tables()
        }

    def had(self, table: WarehouseTable, keys: Collection[int]) -> set[int]:
        """Returns those of the keys that were in totesys at the batch's snapshot."""
        source = source_tables()[table.source or ""]
        stored = self._landed_manifest.tables.get(source.name, {}).get("keys")
        found = self._rows(self._landing, stored, source.key, keys)
        return {key for rows in found for key in rows.column(source.key).to_pylist()}

    def brought(
        self, table: WarehouseTable, columns: Sequence[str], keys: Collection[int]
    ) -> dict[int, list[str | None]]:
        """Returns those of the keys whose rows are in the batch, each with these columns as the texts of `Side`."""
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
        """Yields the rows of an object whose key is one of the keys."""
        if stored is None or not keys:
            return
        path, sought = self._folder / stored.sha256, pa.array(keys)
        if not path.exists():
            zone.fetch(stored, path)
        for rows in batches(path):
            # A batch's keys may have fewer bits than the given keys.
            column = rows.column(key).cast(sought.type)
            yield rows.filter(pc.is_in(column, value_set=sought))


def _texts(rows: pa.RecordBatch, column: Column) -> list[str | None]:
    if column.name not in rows.schema.names:
        # The batch was processed before the column was declared.
        return [None] * rows.num_rows
    found: list[str | None] = texts(rows.column(column.name), type_in_use(column)).to_pylist()
    return found
