"""Finds what is different in totesys since the batch before: rows, deleted keys, and rows that are quarantined.

Three steps: read_change reads, asks decisions.py what follows from what was read, and leaves files in a folder;
write_change puts these into the lake, and knows nothing of how the change was found.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from totes.contracts.declarations import SourceTable, source_tables
from totes.lake.bucket import Lake, StoredObject, sha256_of
from totes.lake.keys import difference
from totes.lake.manifest import Manifest, Parts
from totes.lake.parquet import keys_schema, write_keys
from totes.runtime.log import about, logger
from totes.source.batch_before import BatchBefore
from totes.source.decisions import (
    Examined,
    KeyChange,
    Scope,
    are_as_before,
    beginning,
    examined,
    expected_keys,
    is_due,
    is_news,
    key_change,
    once_more,
    quarantine_after,
    scope_of,
    tombstones,
    unavailable,
    window_of,
)
from totes.source.extract import Count, Extracted, Snapshot, Window, Windows, joined_tables
from totes.source.quarantine import Quarantine, write_quarantine


@dataclass(frozen=True)
class File:
    """A file that may become an object of the lake."""

    path: Path
    rows: int
    sha256: str


@dataclass(frozen=True)
class TableChange:
    """What has changed in a table, in files; None for each part that has not.

    Attributes:
        data: the rows that were read. The first batch has a file for every table, an empty one too.
        deleted: the keys that have gone.
        keys: all keys that are there.
        quarantine_file: all rows that are quarantined.
        known: how many keys the batch before knew.
        quarantined: how many rows are quarantined now.
        ahead: how many rows are stamped with a time to come, and up to when; None if none is.
    """

    data: File | None = None
    deleted: File | None = None
    keys: File | None = None
    quarantine_file: File | None = None
    known: int = 0
    quarantined: int = 0
    ahead: tuple[int, datetime] | None = None

    @property
    def files(self) -> dict[str, File]:
        """The files, by the name of the part that each is."""
        parts = {"data": self.data, "deleted": self.deleted, "keys": self.keys, "aside": self.quarantine_file}
        return {part: file for part, file in parts.items() if file}


@dataclass(frozen=True)
class Change:
    """The difference between totesys and the batch before.

    Attributes:
        is_new: whether this is more than the batch before said already.
        full_read: the tables that were read in full, each with the reason.
        tables: what has changed in each table.
    """

    is_new: bool
    full_read: Mapping[str, str]
    tables: Mapping[str, TableChange]

    @property
    def gone(self) -> dict[str, tuple[int, int]]:
        """(Landed keys that are no longer there, landed keys), by table."""
        return {name: (table.deleted.rows, table.known) for name, table in self.tables.items() if table.deleted}

    @property
    def quarantined(self) -> dict[str, int]:
        """How many rows are quarantined now, by table."""
        return {name: table.quarantined for name, table in self.tables.items() if table.quarantined}

    @property
    def ahead(self) -> dict[str, tuple[int, datetime]]:
        """How many rows are stamped with a time to come, and up to when, by table."""
        return {name: table.ahead for name, table in self.tables.items() if table.ahead}

    def rows(self, part: str) -> dict[str, int]:
        """Rows by table, of the tables that have any."""
        files = {name: table.files.get(part) for name, table in self.tables.items()}
        return {name: file.rows for name, file in files.items() if file and file.rows}


def read_change(
    taken: Snapshot, previous: Manifest | None, asked_for: tuple[str, ...], landing: Lake, folder: Path
) -> Change:
    """Reads what is different in a snapshot, into files of a folder.

    Args:
        asked_for: the tables to read in full because the execution's input says so.

    Raises:
        ContractViolation: a row is not what the contract allows, and may not be quarantined.
        SourceBusy: totesys was altered while it was read.
        SourceLagging: totesys is a standby that has not replayed all that the batch before saw.
    """
    before = BatchBefore(previous, landing, folder)
    scope = scope_of(source_tables(), previous, taken.position, taken.catalogue, asked_for)
    while True:
        attempt = _Attempt(taken, before, scope, folder)
        unexplained = attempt.read()
        if unexplained is None:
            return attempt.change()
        # From the start: the tables that this one is joined with are due as well.
        scope = once_more(scope, unexplained)


def write_change(change: Change, previous: Manifest | None, landing: Lake, batch: int) -> dict[str, Parts]:
    """Puts the files of a change into the lake; returns the objects of each table, as the manifest keeps them.

    What has not changed is where it was.
    """
    return {name: dict(_parts(name, change.tables[name], previous, landing, batch)) for name in source_tables()}


def _parts(
    name: str, table: TableChange, previous: Manifest | None, landing: Lake, batch: int
) -> Iterator[tuple[str, StoredObject]]:
    for part, file in table.files.items():
        yield part, landing.add(file.path, f"{part}/{name}/batch={batch:08d}", file.rows)
    before = previous.tables.get(name, {}) if previous else {}
    for part in ("keys", "aside"):
        # Without rows, quarantine has no object.
        if part in before and part not in table.files and (part == "keys" or before[part].rows):
            yield part, before[part]


class _Attempt:
    """Reads all tables once, in a scope."""

    def __init__(self, taken: Snapshot, before: BatchBefore, scope: Scope, folder: Path) -> None:
        self._taken = taken
        self._before = before
        self._scope = scope
        self._folder = folder
        self._examined: dict[str, Examined] = {}
        # What is quarantined by now; the rows of the next table may not refer to it.
        self._quarantine: dict[str, Quarantine] = {}
        self._tables: dict[str, TableChange] = {}

    def read(self) -> str | None:
        """Reads what is due; returns the first table whose number of rows that does not explain."""
        windows = self._windows()
        counts = self._taken.counts(windows)
        windows = beginning(windows, counts)
        for name, table in source_tables().items():
            with about(table=name):
                change = self._change_of(table, windows, counts)
            if change is None:
                return name
            self._tables[name] = change
        return None

    def change(self) -> Change:
        """Returns what was read, and whether it is news."""
        tables = self._tables.values()
        news = is_news(
            self._scope,
            self._before.manifest,
            {name: table.data.sha256 for name, table in self._tables.items() if table.data},
            deleted=any(table.deleted for table in tables),
            quarantine_changed=any(table.quarantine_file for table in tables),
        )
        return Change(news, self._scope.full_read, self._tables)

    def _windows(self) -> Windows:
        """Returns what to read of each table: what is new, and what was quarantined and is now right or wrong anew."""
        windows: dict[str, Window] = {}
        for name, table in source_tables().items():
            self._examined[name] = self._examine(table)
            self._quarantine[name] = self._examined[name].kept
            windows[name] = window_of(self._scope, name, self._examined[name].again)
            if windows[name].relations:
                logger.info("relations read in full", table=name, relations=windows[name].relations)
        return windows

    def _examine(self, table: SourceTable) -> Examined:
        before = self._before.quarantine(table.name)
        if not before:
            return Examined({}, {}, ())
        found = self._taken.examine(table, tuple(before), self._path(table, "examined"), self._unavailable(table))
        return examined(before, found)

    def _change_of(self, table: SourceTable, windows: Windows, counts: Mapping[str, Count]) -> TableChange | None:
        """Reads what is due of a table; returns None if that does not explain how many rows the table has."""
        name, rows = table.name, counts[table.name].all
        read = Extracted(_no_keys(table), [])
        if is_due(name, joined_tables().get(name, {}), self._scope, counts):
            read = self._read(table, windows)
        known = self._before.number_of_keys(name)
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
        return replace(change, quarantine_file=self._quarantine_file(table), quarantined=len(self._quarantine[name]))

    def _read(self, table: SourceTable, windows: Windows) -> Extracted:
        read = self._taken.extract(table, windows, self._path(table, "data"), self._unavailable(table))
        logger.info("read", rows=read.rows, quarantined=len(read.quarantined))
        return read

    def _compare_keys(self, table: SourceTable, read: Extracted, rows: int) -> KeyChange | None:
        """Returns how the keys have changed; None if they don't explain the number of rows."""
        known = self._before.keys(table)
        self._quarantine[table.name] = quarantine_after(self._examined[table.name], read, known)
        came = difference(read.keys, known)
        live = expected_keys(known, came, read.keys, in_full=table.name in self._scope.full_read)
        if rows < len(live):
            # Some have gone. Only the table itself says which.
            live = self._taken.keys(table)
        return key_change(known, came, live, rows)

    def _data(self, table: SourceTable, read: Extracted) -> File | None:
        if not read.rows and self._before.manifest:
            return None
        return _file(self._path(table, "data"), read.rows)

    def _deleted(self, table: SourceTable, gone: pa.Array) -> File | None:
        landed = tombstones(gone, self._examined[table.name].before)
        if not len(landed):
            return None
        logger.info("deleted", rows=len(landed))
        return self._keys_file(table, "deleted", landed)

    def _quarantine_file(self, table: SourceTable) -> File | None:
        rows = self._quarantine[table.name]
        if rows == self._examined[table.name].before:
            return None
        path = self._path(table, "aside")
        return _file(path, write_quarantine(path, table, rows.values()))

    def _keys_file(self, table: SourceTable, part: str, keys: pa.Array) -> File:
        path = self._path(table, part)
        write_keys(path, keys, keys_schema(table))
        return _file(path, len(keys))

    def _path(self, table: SourceTable, part: str) -> Path:
        return self._folder / f"{table.name}.{part}"

    def _unavailable(self, table: SourceTable) -> Mapping[str, pa.Array]:
        return unavailable(table, joined_tables().get(table.name, {}), self._quarantine)


def _file(path: Path, rows: int) -> File:
    return File(path, rows, sha256_of(path))


def _no_keys(table: SourceTable) -> pa.Array:
    return pa.array([], keys_schema(table).types[0])
