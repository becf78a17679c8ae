"""Brings landed batches into the warehouse's shape, one table at a time.

The result depends only on the landed batch: the same batch gives the same bytes, whenever and however often it runs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from totes.contracts.declarations import WarehouseTable, source_tables, warehouse_tables
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest
from totes.lake.parquet import batches, declared_rows, deleted_schema, landed_schema, parquet_writer, processed_schema
from totes.lake.side_by_side import Downloads, SideBySide
from totes.runtime.log import about, logger
from totes.runtime.scratch import scratch
from totes.warehouse.star import calendar, joined, parts_to_join, shaped, years_of

# A table's objects on their way into the lake, by part.
_Uploads = Mapping[str, Future[StoredObject]]
# By table and years.
_Calendars = dict[tuple[str, frozenset[int]], tuple[Path, int]]
_PARTS = ("data", "deleted", "aside")


def shape(landed: Sequence[Manifest], landing: Lake, processed: Lake) -> list[Manifest]:
    """Writes batches' objects in the warehouse's shape; returns their manifests, which it does not write."""
    with scratch() as folder, Downloads(landing, folder) as downloads, SideBySide() as uploads:
        for manifest in landed:
            for part in _PARTS:
                downloads.begin(manifest.objects(part).values())
        calendars: _Calendars = {}
        shaped = []
        for manifest in landed:
            logger.append_keys(batch=manifest.batch)
            batch = _Batch(manifest, downloads, processed, uploads, folder, calendars)
            shaped.append(batch.parts() | batch.calendars() | batch.copies())
    return [
        replace(
            manifest,
            tables={name: {part: stored.result() for part, stored in parts.items()} for name, parts in tables.items()},
        )
        for manifest, tables in zip(landed, shaped, strict=True)
    ]


class _Batch:
    """Brings one landed batch into the processed zone, by way of files in a folder.

    The upload of an object begins as soon as its file is written. So a returned object may not be there yet.

    Args:
        calendars: the calendar files that other batches have written, and each file's row count.
    """

    def __init__(
        self,
        landed: Manifest,
        downloads: Downloads,
        processed: Lake,
        uploads: SideBySide,
        folder: Path,
        calendars: _Calendars,
    ) -> None:
        self._landed = landed
        self._downloads = downloads
        self._processed = processed
        self._uploads = uploads
        self._folder = folder
        self._calendars = calendars
        self._years: set[int] = set()

    def parts(self) -> dict[str, _Uploads]:
        """Returns the objects of the facts and dimensions that the batch changes."""
        found = {table.name: dict(self._parts(table)) for table in warehouse_tables().values()}
        return {name: parts for name, parts in found.items() if parts}

    def _parts(self, table: WarehouseTable) -> Iterator[tuple[str, Future[StoredObject]]]:
        landed = self._landed.tables.get(table.source or "", {})
        if "data" in landed:
            path, rows = self._file(table, self._shaped(table))
            landed["data"].require_rows(rows)
            yield "data", self._add(table.name, "data", path, rows)
        if "deleted" in landed:
            yield "deleted", self._write_deleted(table, landed["deleted"])

    def calendars(self) -> dict[str, _Uploads]:
        """Returns the calendar for the years to which the batch's facts refer."""
        calendars = [table for table in warehouse_tables().values() if table.kind == "calendar" and self._years]
        return {table.name: {"data": self._add(table.name, "data", *self._calendar(table))} for table in calendars}

    def _calendar(self, table: WarehouseTable) -> tuple[Path, int]:
        years = frozenset(self._years)
        if (table.name, years) not in self._calendars:
            self._calendars[table.name, years] = self._file(table, [calendar(table, years)])
        return self._calendars[table.name, years]

    def copies(self) -> dict[str, _Uploads]:
        """Returns the quarantined rows of totesys' tables, as they were landed."""
        return {
            source: {"aside": self._add(source, "aside", self._downloads.file(aside), aside.rows)}
            for source, aside in self._landed.objects("aside").items()
        }

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
        for rows in batches(self._downloads.file(self._landed.tables[source]["data"])):
            yield declared_rows(rows, schema)

    def _all_rows(self, source: str) -> pa.Table:
        rows = list(self._rows(source))
        # Landed rows may lack columns that were declared later.
        return pa.Table.from_batches(rows) if rows else landed_schema(source_tables()[source]).empty_table()

    def _file(self, table: WarehouseTable, pieces: Iterable[pa.Table]) -> tuple[Path, int]:
        """Writes a table's rows into a file; returns the file and its row count."""
        path, rows = self._path(table, "data"), 0
        with about(table=table.name):
            with parquet_writer(path, processed_schema(table)) as writer:
                for piece in pieces:
                    writer.write(piece)
                    rows += piece.num_rows
            logger.info("shaped", rows=rows)
        return path, rows

    def _write_deleted(self, table: WarehouseTable, deleted: StoredObject) -> Future[StoredObject]:
        path, schema = self._path(table, "deleted"), deleted_schema(table)
        with parquet_writer(path, schema) as writer:
            for keys in batches(self._downloads.file(deleted)):
                writer.write(pa.record_batch(keys.columns, schema=schema))
        return self._add(table.name, "deleted", path, deleted.rows)

    def _path(self, table: WarehouseTable, part: str) -> Path:
        return self._folder / f"{table.name}.{part}.{self._landed.batch}"

    def _add(self, table: str, part: str, path: Path, rows: int) -> Future[StoredObject]:
        return self._uploads.submit(self._processed.add, path, f"{part}/{table}/batch={self._landed.batch:08d}", rows)
