"""Brings a landed batch into the warehouse's shape, a table at a time.

A pure function of the landed batch: the same batch gives the same bytes, whenever and however often it runs.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from totes.contracts.declarations import WarehouseTable, source_tables, warehouse_tables
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest, Parts
from totes.lake.parquet import batches, declared_rows, deleted_schema, landed_schema, parquet_writer, processed_schema
from totes.runtime.log import about, logger
from totes.runtime.scratch import scratch
from totes.warehouse.star import calendar, joined, parts_to_join, shaped, years_of


def shape(landed: Manifest, landing: Lake, processed: Lake) -> Manifest:
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
