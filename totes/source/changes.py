"""Finds the difference between totesys and the batch before: rows, deleted keys and quarantined rows.

read_change counts the rows, asks decisions.py which tables are due, and lets table_reader.py read them into files.
write_change puts these files into the lake. It doesn't know how the change was found.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from totes.contracts.declarations import SourceTable, source_tables
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest, Parts
from totes.lake.side_by_side import Downloads, SideBySide
from totes.runtime.log import about, logger
from totes.source.decisions import (
    Scope,
    are_as_before,
    beginning,
    is_due,
    is_news,
    once_more,
    scope_of,
    window_of,
)
from totes.source.snapshot import Snapshot
from totes.source.windows import Count, Window, Windows, joined_tables

if TYPE_CHECKING:
    from totes.source.table_reader import TableReader


@dataclass(frozen=True)
class File:
    """A file that may become an object of the lake."""

    path: Path
    rows: int
    sha256: str


@dataclass(frozen=True)
class TableChange:
    """A table's change, in files; a part that has not changed is None.

    Attributes:
        data: the rows that were read. The first batch has a file for every table, even an empty one.
        deleted: the keys that are gone.
        keys: all keys that are there.
        quarantine_file: all quarantined rows.
        known: how many keys the batch before knew.
        quarantined: how many rows are quarantined now.
        ahead: how many rows have a timestamp in the future, and the latest one; None if no row has.
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
        """Returns the files, by the name of their part."""
        parts = {"data": self.data, "deleted": self.deleted, "keys": self.keys, "aside": self.quarantine_file}
        return {part: file for part, file in parts.items() if file}


@dataclass(frozen=True)
class Change:
    """The difference between totesys and the batch before.

    Attributes:
        is_new: whether this adds anything to the batch before.
        full_read: the tables that were read in full, each with the reason.
        tables: each table's change.
    """

    is_new: bool
    full_read: Mapping[str, str]
    tables: Mapping[str, TableChange]

    @property
    def gone(self) -> dict[str, tuple[int, int]]:
        """Returns (landed keys that are gone, all landed keys), by table."""
        return {name: (table.deleted.rows, table.known) for name, table in self.tables.items() if table.deleted}

    @property
    def quarantined(self) -> dict[str, int]:
        """Returns how many rows are quarantined now, by table."""
        return {name: table.quarantined for name, table in self.tables.items() if table.quarantined}

    @property
    def ahead(self) -> dict[str, tuple[int, datetime]]:
        """Returns how many rows have a timestamp in the future, and the latest one, by table."""
        return {name: table.ahead for name, table in self.tables.items() if table.ahead}

    def rows(self, part: str) -> dict[str, int]:
        """Returns how many rows a part has, by table; tables without rows are left out."""
        files = {name: table.files.get(part) for name, table in self.tables.items()}
        return {name: file.rows for name, file in files.items() if file and file.rows}


def read_change(
    taken: Snapshot, previous: Manifest | None, asked_for: tuple[str, ...], landing: Lake, folder: Path
) -> Change:
    """Reads the difference between a snapshot and the batch before into files of a folder.

    Args:
        asked_for: the tables that the execution's input asks to read in full.

    Raises:
        ContractViolation: a row breaks its contract, and may not be quarantined.
        SourceBusy: totesys was altered while it was read.
        SourceLagging: totesys is a standby that has not replayed all that the batch before saw.
    """
    scope = scope_of(source_tables(), previous, taken.position, taken.catalogue, asked_for)
    with Downloads(landing, folder) as downloads:
        while True:
            attempt = _Attempt(taken, previous, scope, downloads, folder)
            unexplained = attempt.read()
            if unexplained is None:
                return attempt.change()
            # All tables are read again, because those that are joined with this one are due as well.
            scope = once_more(scope, unexplained)


def write_change(change: Change, previous: Manifest | None, landing: Lake, batch: int) -> dict[str, Parts]:
    """Puts a change's files into the lake; returns each table's objects, as the manifest keeps them.

    Keys and quarantined rows that have not changed keep the earlier batch's objects.
    """
    with SideBySide() as threads:
        added = {
            name: {
                part: threads.submit(landing.add, file.path, f"{part}/{name}/batch={batch:08d}", file.rows)
                for part, file in change.tables[name].files.items()
            }
            for name in source_tables()
        }
    return {
        name: dict(_kept(name, previous)) | {part: stored.result() for part, stored in parts.items()}
        for name, parts in added.items()
    }


def _kept(name: str, previous: Manifest | None) -> Iterator[tuple[str, StoredObject]]:
    """Yields the batch before's objects that hold for a table until something changes them."""
    before = previous.tables.get(name, {}) if previous else {}
    for part in ("keys", "aside"):
        # A table without quarantined rows has no object for them.
        if part in before and (part == "keys" or before[part].rows):
            yield part, before[part]


class _Attempt:
    """One attempt to read all tables in a scope."""

    def __init__(
        self, taken: Snapshot, previous: Manifest | None, scope: Scope, downloads: Downloads, folder: Path
    ) -> None:
        self._taken = taken
        self._previous = previous
        self._scope = scope
        self._downloads = downloads
        self._folder = folder
        self._tables: dict[str, TableChange] = {}

    def read(self) -> str | None:
        """Reads the rows that are due; returns the first table whose row count they don't explain, else None."""
        self._begin_to_download("aside", source_tables())
        windows = self._windows()
        counts = self._taken.counts(windows)
        windows = beginning(windows, counts)
        # The tables are compared one after another, so these downloads can run meanwhile.
        self._begin_to_download("keys", [name for name in source_tables() if self._has_news(name, counts)])
        for name, table in source_tables().items():
            with about(table=name):
                change = self._change_of(table, windows, counts)
            if change is None:
                return name
            self._tables[name] = change
        return None

    def change(self) -> Change:
        """Returns the change that was read."""
        tables = self._tables.values()
        news = is_news(
            self._scope,
            self._previous,
            {name: table.data.sha256 for name, table in self._tables.items() if table.data},
            deleted=any(table.deleted for table in tables),
            quarantine_changed=any(table.quarantine_file for table in tables),
        )
        return Change(news, self._scope.full_read, self._tables)

    @cached_property
    def _reader(self) -> "TableReader":
        # Imported here because pyarrow takes 0.2 s, and a run that finds nothing new doesn't need it.
        from totes.source.table_reader import TableReader

        return TableReader(self._taken, self._previous, self._scope, self._downloads, self._folder)

    def _windows(self) -> Windows:
        """Returns which rows to read of each table: new rows, and quarantined rows that are no longer as they were."""
        windows: dict[str, Window] = {}
        for name, table in source_tables().items():
            again = self._reader.examine(table) if self._stored(name, "aside") else ()
            windows[name] = window_of(self._scope, name, again)
            if windows[name].relations:
                logger.info("relations read in full", table=name, relations=windows[name].relations)
        return windows

    def _change_of(self, table: SourceTable, windows: Windows, counts: Mapping[str, Count]) -> TableChange | None:
        """Reads a table's rows that are due; returns None if they don't explain the table's row count."""
        name, rows, known = table.name, counts[table.name].all, self._stored(table.name, "keys")
        due = self._is_due(name, counts)
        if not due and are_as_before(known, 0, rows) and not self._stored(name, "aside"):
            return TableChange(known=rows)
        return self._reader.change_of(table, windows, rows, known, due=due)

    def _is_due(self, name: str, counts: Mapping[str, Count]) -> bool:
        return is_due(name, joined_tables().get(name, {}), self._scope, counts)

    def _has_news(self, name: str, counts: Mapping[str, Count]) -> bool:
        """Returns whether a table's keys will probably be compared."""
        return self._is_due(name, counts) or counts[name].all != self._stored(name, "keys")

    def _begin_to_download(self, part: str, tables: Iterable[str]) -> None:
        before = self._previous.objects(part) if self._previous else {}
        self._downloads.begin(before[name] for name in tables if name in before and before[name].rows)

    def _stored(self, table: str, part: str) -> int | None:
        """Returns how many rows the table's object has in the batch before; None if there is no such object."""
        stored = self._previous.objects(part).get(table) if self._previous else None
        return stored.rows if stored else None
