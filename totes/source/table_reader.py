"""Reads a table's rows that are due, and compares them with the batch before."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from totes.contracts.declarations import SourceTable
from totes.lake.bucket import sha256_of
from totes.lake.keys import Keys
from totes.lake.manifest import Manifest
from totes.lake.parquet import keys_schema, write_keys
from totes.lake.side_by_side import Downloads
from totes.runtime.log import logger
from totes.source.batch_before import BatchBefore
from totes.source.changes import File, TableChange
from totes.source.decisions import Scope, are_as_before
from totes.source.extract import Extracted, examine, extract, read_keys
from totes.source.key_decisions import (
    Examined,
    KeyChange,
    examined,
    expected_keys,
    key_change,
    quarantine_after,
    tombstones,
    unavailable,
)
from totes.source.quarantine import Quarantine, write_quarantine
from totes.source.snapshot import Snapshot
from totes.source.windows import Windows, joined_tables


class TableReader:
    """Reads tables, one after another, into files of a folder."""

    def __init__(
        self, taken: Snapshot, previous: Manifest | None, scope: Scope, downloads: Downloads, folder: Path
    ) -> None:
        self._taken = taken
        self._before = BatchBefore(previous, downloads, folder)
        self._scope = scope
        self._folder = folder
        self._examined: dict[str, Examined] = {}
        # The rows that are quarantined by now. The next table's rows may not refer to them.
        self._quarantine: dict[str, Quarantine] = {}

    def examine(self, table: SourceTable) -> tuple[int, ...]:
        """Examines the rows that the batch before left in quarantine; returns the keys to read again."""
        before = self._before.quarantine(table.name)
        if not before:
            return ()
        found = examine(self._taken, table, tuple(before), self._path(table, "examined"), self._unavailable(table))
        self._examined[table.name] = examined(before, found)
        self._quarantine[table.name] = self._examined[table.name].kept
        return self._examined[table.name].again

    def change_of(
        self, table: SourceTable, windows: Windows, rows: int, known: int | None, *, due: bool
    ) -> TableChange | None:
        """Returns a table's change; None if the rows that were read don't explain the table's row count.

        Args:
            rows: the table's row count.
            known: how many keys the batch before knew; None if it did not have the table.
            due: whether any rows must be read.
        """
        read = self._read(table, windows) if due else Extracted(Keys(self._folder, keys_schema(table).types[0]), [])
        change = TableChange(
            data=self._data(table, read),
            known=known or 0,
            ahead=(read.ahead, read.latest) if read.latest else None,
        )
        if not are_as_before(known, len(read.keys), rows):
            keys = self._compare_keys(table, read, rows)
            if keys is None:
                return None
            change = replace(
                change,
                deleted=self._deleted(table, keys.gone),
                keys=self._keys_file(table, "keys", keys.live) if keys.differ_from(known) else None,
            )
        quarantined = len(self._quarantine.get(table.name, ()))
        return replace(change, quarantine_file=self._quarantine_file(table), quarantined=quarantined)

    def _read(self, table: SourceTable, windows: Windows) -> Extracted:
        read = extract(self._taken, table, windows, self._path(table, "data"), self._unavailable(table))
        logger.info("read", rows=read.rows, quarantined=len(read.quarantined))
        return read

    def _compare_keys(self, table: SourceTable, read: Extracted, rows: int) -> KeyChange | None:
        """Returns the change of the table's keys; None if it does not explain the row count."""
        known = self._before.keys(table)
        self._quarantine[table.name] = quarantine_after(self._examined_of(table), read, known)
        came = read.keys.minus(known)
        live = expected_keys(known, came, read.keys, in_full=table.name in self._scope.full_read)
        if rows < len(live):
            # Some keys are gone. Only the table itself shows which.
            live = read_keys(self._taken, table, self._folder)
        return key_change(known, came, live, rows)

    def _data(self, table: SourceTable, read: Extracted) -> File | None:
        if not read.rows and self._before.manifest:
            return None
        return _file(self._path(table, "data"), read.rows)

    def _deleted(self, table: SourceTable, gone: Keys) -> File | None:
        landed = tombstones(gone, self._examined_of(table).before)
        if not len(landed):
            return None
        logger.info("deleted", rows=len(landed))
        return self._keys_file(table, "deleted", landed)

    def _quarantine_file(self, table: SourceTable) -> File | None:
        rows = self._quarantine.get(table.name, {})
        if rows == self._examined_of(table).before:
            return None
        path = self._path(table, "aside")
        return _file(path, write_quarantine(path, table, rows.values()))

    def _examined_of(self, table: SourceTable) -> Examined:
        return self._examined.get(table.name, Examined({}, {}, ()))

    def _keys_file(self, table: SourceTable, part: str, keys: Keys) -> File:
        path = self._path(table, part)
        write_keys(path, keys, keys_schema(table))
        return _file(path, len(keys))

    def _path(self, table: SourceTable, part: str) -> Path:
        return self._folder / f"{table.name}.{part}"

    def _unavailable(self, table: SourceTable) -> Mapping[str, pa.Array]:
        return unavailable(table, joined_tables().get(table.name, {}), self._quarantine)


def _file(path: Path, rows: int) -> File:
    return File(path, rows, sha256_of(path))
