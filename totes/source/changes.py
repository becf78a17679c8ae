"""What is different in totesys since the batch before: rows, deleted keys, and rows that are set aside."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from totes.contracts.declarations import SourceTable, source_tables
from totes.errors import SourceBusy
from totes.lake.bucket import Lake, StoredObject, sha256_of
from totes.lake.keys import without
from totes.lake.manifest import Manifest
from totes.lake.parquet import batches, keys_schema, write_keys
from totes.postgres.catalogue import relations_to_read
from totes.runtime.log import about, logger
from totes.source.extract import Count, Extracted, Snapshot, Window, Windows, joined_tables
from totes.source.fence import reason_to_read_all
from totes.source.quarantine import Quarantine, read_quarantine, write_quarantine

if TYPE_CHECKING:
    from datetime import datetime

ASKED_FOR = "asked for by the execution's input"
UNEXPLAINED = "it holds rows that the fence did not show"
UPGRADED = "the last batch was landed by an earlier release"
RESTRUCTURED = "its relation, columns or labels have changed since the last batch"


@dataclass(frozen=True)
class _File:
    path: Path
    rows: int


class Change:
    """The difference between a snapshot and the batch before it, in files of a folder.

    Attributes:
        full_read: tables read in full, with the reason.
        gone: (landed keys that are no longer there, landed keys), by table.
        quarantine: the rows that are quarantined now, by table and key.
        ahead: how many rows are stamped with a time to come, and up to when, by table.
    """

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
        # A request for everything needs no fence, so it works even if the fence can't be used.
        everything = set(asked_for) >= source_tables().keys()
        before = previous.source if previous else None
        self._unfenced = None if before and everything else reason_to_read_all(before, taken.position)
        self.full_read = self._reasons(asked_for)
        self._collect()

    def is_new(self) -> bool:
        """Whether this is more than the batch before said already.

        While an old transaction of totesys keeps the fence where it is, the same rows come again; they are no news.
        Where the fence is of no use any more, a batch is due that brings a new one; and where somebody asked for one.
        """
        if self._unfenced or {ASKED_FOR, UPGRADED} & set(self.full_read.values()):
            return True
        if self._previous is None or any(self._changed_relations(table) for table in source_tables()):
            return True
        if any("deleted" in files for files in self._files.values()):
            return True
        data = {table: sha256_of(files["data"].path) for table, files in self._files.items() if "data" in files}
        # The first batch has a file for every table, an empty one too.
        said = {table: stored.sha256 for table, stored in self._previous.objects("data").items() if stored.rows}
        aside = any(self._is_changed(table, "aside") for table in self._files)
        return aside or (bool(data) and data != said)

    def rows(self, part: str) -> dict[str, int]:
        """Rows by table, of the tables that have any."""
        return {table: files[part].rows for table, files in self._files.items() if part in files and files[part].rows}

    def stored(self, table: str, batch: int) -> Iterator[tuple[str, StoredObject]]:
        """Puts a table's files into the lake; what has not changed is where it was."""
        files = self._files.get(table, {})
        for part, file in files.items():
            if part == "aside" and not self._is_changed(table, part):
                continue
            yield part, self._landing.add(file.path, f"{part}/{table}/batch={batch:08d}", file.rows)
        if "keys" not in files and self._previous is not None:
            yield "keys", self._previous.tables[table]["keys"]
        if (before := self._before(table, "aside")) and before.rows and not self._is_changed(table, "aside"):
            yield "aside", before

    def _before(self, table: str, part: str) -> StoredObject | None:
        return self._previous.tables.get(table, {}).get(part) if self._previous else None

    def _is_changed(self, table: str, part: str) -> bool:
        file, before = self._files.get(table, {}).get(part), self._before(table, part)
        return file is not None and (before is None or sha256_of(file.path) != before.sha256)

    def _collect(self) -> None:
        self._files: dict[str, dict[str, _File]] = {}
        self.quarantine: dict[str, Quarantine] = {}
        self.ahead: dict[str, tuple[int, datetime]] = {}
        self.gone: dict[str, tuple[int, int]] = {}
        windows = self._windows()
        counts = self._taken.counts(windows)
        windows = {name: replace(window, begin=counts[name].first_new) for name, window in windows.items()}
        for name, table in source_tables().items():
            with about(table=name):
                explained = self._take(table, windows, counts)
            if not explained:
                if self.full_read.get(name) == UNEXPLAINED:
                    raise SourceBusy(
                        f"{name} of totesys was altered while it was read: its row counts differed.",
                        "Nothing to do unless it lasts: then find what attaches and detaches its partitions.",
                    )
                # Once more from the start: the tables that it is joined with are due as well.
                self.full_read[name] = UNEXPLAINED
                self._collect()
                return
            self._write_quarantine(table)

    def _take(self, table: SourceTable, windows: Windows, counts: Mapping[str, Count]) -> bool:
        """Reads what is due of a table; False where it has more rows than can be explained."""
        partners = (table.name, *joined_tables().get(table.name, {}))
        if table.name in self.full_read or any(counts[partner].first_new for partner in partners):
            return self._read(table, windows, counts[table.name])
        return self._compare_keys(table, _no_keys(table), counts[table.name])

    def _windows(self) -> dict[str, Window]:
        """What to read of each table: what is new, and what was set aside and is now right, or wrong in another way."""
        fence = self._previous.source.fence if self._previous else None
        windows = {}
        for name, table in source_tables().items():
            again = self._look_again(table)
            everything = name in self.full_read
            relations = () if everything else self._changed_relations(name)
            if relations:
                logger.info("relations read in full", table=name, relations=relations)
            windows[name] = Window(None if everything else fence, again, relations)
        return windows

    def _reasons(self, asked_for: tuple[str, ...]) -> dict[str, str]:
        """Returns the tables to read in full, each with the reason."""
        if self._unfenced:
            return dict.fromkeys(source_tables(), self._unfenced)
        reasons = {name: reason for name in source_tables() if (reason := self._reason_of_structure(name))}
        return reasons | dict.fromkeys(asked_for, ASKED_FOR)

    def _reason_of_structure(self, table: str) -> str | None:
        """Returns why all stored rows may have other values than before, though none is new; None if they can't."""
        if self._previous is None:
            return None
        before = set(self._previous.columns.get(table, ()))
        declared = [column.name for column in source_tables()[table].columns]
        if new := [name for name in declared if name not in before]:
            return f"newly declared: {', '.join(new)}"
        if left := sorted(before - set(declared)):
            return f"no longer declared: {', '.join(left)}"
        if self._previous.structure is None:
            return UPGRADED
        changed = self._changed_relations(table)
        return RESTRUCTURED if changed and changed == self._taken.catalogue[table].holding else None

    def _changed_relations(self, table: str) -> tuple[str, ...]:
        """Returns the table's relations that were attached or changed since the batch before."""
        if self._previous is None or self._previous.structure is None:
            return ()
        return relations_to_read(self._previous.structure.get(table, {}), self._taken.catalogue[table])

    def _look_again(self, table: SourceTable) -> tuple[int, ...]:
        """Examines the rows that were set aside; those that are as they were, and only those, stay in quarantine."""
        before = self._quarantine_before(table)
        if not before:
            self.quarantine[table.name] = {}
            return ()
        found = self._taken.examine(
            table, tuple(before), self._folder / f"{table.name}.examined", self._unavailable(table)
        )
        there = set(found.keys.to_pylist())
        still = {row.business_id: replace(row, known=before[row.business_id].known) for row in found.aside}
        self.quarantine[table.name] = {key: row for key, row in still.items() if row == before[key]}
        return tuple(sorted(there - self.quarantine[table.name].keys()))

    def _read(self, table: SourceTable, windows: Windows, count: Count) -> bool:
        path = self._folder / f"{table.name}.data"
        read = self._taken.extract(table, windows, path, self._unavailable(table))
        if read.rows or self._previous is None:
            self._files.setdefault(table.name, {})["data"] = _File(path, read.rows)
        if read.latest:
            self.ahead[table.name] = read.ahead, read.latest
        self._set_aside(table, read)
        logger.info("read", rows=read.rows, aside=len(read.aside))
        return self._compare_keys(table, read.keys, count)

    def _set_aside(self, table: SourceTable, read: Extracted) -> None:
        for key in read.keys.to_pylist() if self.quarantine[table.name] else ():
            self.quarantine[table.name].pop(key, None)
        if read.aside:
            before, known = self._quarantine_before(table), set(self._known_keys(table).to_pylist())
            for row in read.aside:
                key = row.business_id
                landed = before[key].known if key in before else key in known
                self.quarantine[table.name][key] = replace(row, known=landed)

    def _unavailable(self, table: SourceTable) -> dict[str, pa.Array]:
        """By column, the keys of rows that are set aside and so can't be referred to.

        A row with an earlier version in the warehouse can; but not by a row that is to be joined with it.
        """
        found = {}
        for column in table.columns:
            quarantine = self.quarantine.get(column.references or "", {})
            joined = column.references in joined_tables().get(table.name, {})
            if keys := [key for key, row in quarantine.items() if joined or not row.known]:
                found[column.name] = pa.array(keys, keys_schema(table).types[0])
        return found

    def _quarantine_before(self, table: SourceTable) -> Quarantine:
        before = self._before(table.name, "aside")
        if before is None or not before.rows:
            return {}
        return read_quarantine(self._landing.fetch(before, self._folder / f"{table.name}.aside_before"))

    def _write_quarantine(self, table: SourceTable) -> None:
        rows, before = self.quarantine[table.name], self._before(table.name, "aside")
        if rows or (before and before.rows):
            path = self._folder / f"{table.name}.aside"
            self._files.setdefault(table.name, {})["aside"] = _File(path, write_quarantine(path, rows.values()))

    def _compare_keys(self, table: SourceTable, read: pa.Array, count: Count) -> bool:
        """Finds the keys that came and went; returns False if they don't explain the number of rows.

        Every key that was not there before belongs to a row that was read, and no two rows have the same key. So the
        number of rows shows exactly whether any key has gone. Only then are the keys themselves fetched.
        """
        before = self._before(table.name, "keys")
        if before is not None and not len(read) and count.all == before.rows:
            return True
        known = self._known_keys(table)
        came = without(read, known)
        live = read if table.name in self.full_read else pa.concat_arrays([known, came])
        if count.all < len(live):
            live = self._taken.keys(table)
        if count.all != len(live):
            # The fence missed rows, or the keys came from an index that lacks some.
            return False
        if len(live) < len(known) + len(came):
            self._bury(table, without(known, live))
        if before is None or len(came) or len(live) != before.rows:
            self._write_keys(table, "keys", live)
        return True

    def _bury(self, table: SourceTable, gone: pa.Array) -> None:
        """Notes the keys that have gone; of a row that was in quarantine from the start nobody knows."""
        unheard = [key for key, row in self._quarantine_before(table).items() if not row.known]
        gone = without(gone, pa.array(unheard, gone.type))
        if len(gone):
            logger.info("deleted", rows=len(gone))
            before = self._before(table.name, "keys")
            self.gone[table.name] = len(gone), before.rows if before else 0
            self._write_keys(table, "deleted", gone)

    def _known_keys(self, table: SourceTable) -> pa.Array:
        before = self._before(table.name, "keys")
        if before is None:
            return _no_keys(table)
        path = self._landing.fetch(before, self._folder / f"{table.name}.known")
        return pa.concat_arrays([_no_keys(table), *(batch.column(0) for batch in batches(path))])

    def _write_keys(self, table: SourceTable, part: str, keys: pa.Array) -> None:
        path = self._folder / f"{table.name}.{part}"
        write_keys(path, keys, keys_schema(table))
        self._files.setdefault(table.name, {})[part] = _File(path, len(keys))


def _no_keys(table: SourceTable) -> pa.Array:
    return pa.array([], keys_schema(table).types[0])
