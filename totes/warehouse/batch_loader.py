"""Loads batches from the lake into the warehouse. Small ones share a transaction; each has its entry in the log."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pg8000.dbapi
from pg8000.converters import literal

from totes.contracts.declarations import warehouse_tables
from totes.errors import ContractViolation, LogBroken, TerminalError
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest
from totes.lake.side_by_side import SideBySide
from totes.lake.together import MOST_TOGETHER, Together
from totes.postgres.server_errors import sqlstate
from totes.runtime.allowance import Allowance
from totes.runtime.log import logger
from totes.runtime.scratch import scratch
from totes.warehouse import rules, staging
from totes.warehouse.log import last_batch
from totes.warehouse.staging import Loaded, Part
from totes.warehouse.warehouse import Warehouse

# A batch, and its effect on each table; None if another execution has loaded it meanwhile.
Done = tuple[Manifest, Mapping[str, Loaded] | None]
# By batch.
Files = Mapping[tuple[int, Part], Path]

# SQLSTATEs of transient errors: a lost connection, a deadlock, resources, a lock, a shutdown.
_PASSING = ("08", "40", "53", "55", "57")


@dataclass(frozen=True)
class _Batch:
    """A batch that is about to be loaded.

    Attributes:
        objects: its objects, without the parts that repeat the rows of an earlier batch in the same transaction.
    """

    manifest: Manifest
    objects: Mapping[Part, StoredObject]

    @property
    def number(self) -> int:
        return self.manifest.batch

    @property
    def is_of_backfill(self) -> bool:
        return self.manifest.is_of_backfill

    @property
    def size(self) -> int:
        return sum(stored.rows for stored in self.objects.values())

    @property
    def staged(self) -> dict[Part, StoredObject]:
        """Returns the objects that are staged, together with those of other batches."""
        return {part: stored for part, stored in self.objects.items() if not self.has_many(part)}

    def has_many(self, part: Part) -> bool:
        """Returns whether a part has so many rows of a fact that Load loads it by itself."""
        is_of_fact = part.name == "data" and warehouse_tables()[part.table].is_fact
        return is_of_fact and part in self.objects and self.objects[part].rows >= staging.BULK_ROWS


class BatchLoader:
    """Loads pending batches, in order.

    Args:
        begins: is called with each batch's number. If it is given, each batch has its own transaction.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        log: BatchLog,
        processed: Lake,
        execution: str,
        allowance: Allowance,
        begins: Callable[[int], object] | None,
    ) -> None:
        self._warehouse = warehouse
        self._log = log
        self._processed = processed
        self._execution = execution
        self._allowance = allowance
        self._begins = begins
        self._together = Together(allowance, staging.BULK_ROWS, 1 if begins else MOST_TOGETHER, _is_of_one)

    def load_next(self, pending: range, last: Manifest | None) -> list[Done]:
        """Loads the next batches in one transaction: small ones together, and as many as the checks need to hold.

        So no reader sees a mistake that a later batch corrects, and the mistake does not stop Load. The first batch
        after a backfill brings the rows that the backfill lacks, so a backfill's rows are checked with that batch.

        Args:
            pending: the numbers of the batches to load.
            last: the last batch that the warehouse has loaded.

        Raises:
            ContractViolation: the checks do not hold, and no batch or no time is left to correct that.
        """
        return self._together.do(pending, self._read, partial(self._load, pending, last))

    def _read(self, numbers: Sequence[int]) -> Iterator[_Batch]:
        """Yields batches to load in one transaction."""
        said: dict[str, str] = {}
        for manifest in self._log.read_together(numbers):
            yield _batch(manifest, said)

    def _load(self, pending: range, last: Manifest | None, batches: Sequence[_Batch]) -> list[Done]:
        logger.append_keys(batch=batches[0].number)
        with scratch() as folder:
            files = self._fetched(batches, folder)
            with self._warehouse.begin():
                self._warehouse.lock()
                if self._is_loaded(batches[0]):
                    return [(batches[0].manifest, None)]
                before = {**rules.record_ids(self._warehouse), **_unchecked(self._warehouse, self._log, last)}
                done = self._load_fetched(batches, files)
                if batches[-1].manifest.is_of_backfill:
                    return done
                while broken := rules.broken_since(self._warehouse, before):
                    if len(done) == len(pending):
                        raise rules.broken_check(broken)
                    if self._allowance.is_nearly_used:
                        raise _uncorrected(rules.broken_check(broken), len(done))
                    following = [*self._read([pending[len(done)]])]
                    done += self._load_fetched(following, self._fetched(following, folder))
        return done

    def _is_loaded(self, batch: _Batch) -> bool:
        """Returns whether another execution has loaded the batch while this one waited for the lock.

        Raises:
            LogBroken: the warehouse lacks an earlier batch.
        """
        last = last_batch(self._warehouse)
        if last < batch.number - 1:
            raise LogBroken(
                f"The warehouse has loaded up to batch {last}, and batch {batch.number} is about to follow.",
                "Redrive the execution: it loads what is missing first.",
            )
        return last >= batch.number

    def _fetched(self, batches: Iterable[_Batch], folder: Path) -> Files:
        """Downloads the objects of some batches."""
        with SideBySide() as threads:
            coming = {
                (batch.number, part): threads.submit(
                    self._processed.fetch, stored, folder / f"{batch.number}.{part.table}.{part.name}"
                )
                for batch in batches
                for part, stored in batch.objects.items()
            }
        return {of_batch: file.result() for of_batch, file in coming.items()}

    def _load_fetched(self, batches: Sequence[_Batch], files: Files) -> list[Done]:
        """Loads batches: stages their rows together, and moves them batch by batch."""
        staged: dict[Part, dict[int, Path]] = defaultdict(dict)
        for batch in batches:
            for part in batch.staged:
                staged[part][batch.number] = files[batch.number, part]
        rows = staging.stage(self._warehouse, staged)
        for batch in batches:
            for part, stored in batch.staged.items():
                stored.require_rows(rows[part][batch.number])
        done: list[Done] = [(batch.manifest, self._load_batch(batch, files)) for batch in batches]
        self._note_tables(done)
        staging.unstage(self._warehouse, staged)
        return done

    def _load_batch(self, batch: _Batch, files: Files) -> dict[str, Loaded]:
        """Moves a batch's rows into the stars, dimensions before facts, and writes its entry into the log."""
        logger.append_keys(batch=batch.number)
        if self._begins:
            self._begins(batch.number)
        move = staging.Move(self._warehouse, batch.number)
        move.add(self._entry(batch.manifest))
        for table in warehouse_tables().values():
            data, deleted = Part(table.name, "data"), Part(table.name, "deleted")
            if batch.has_many(data):
                rows = move.add_many(table, files[batch.number, data])
                batch.objects[data].require_rows(rows)
            elif data in batch.objects:
                move.add_rows(table)
            if deleted in batch.objects:
                move.add_tombstones(table)
        for source in batch.manifest.objects("aside"):
            move.add_quarantine(source)
        return _counted(batch.manifest, move.end())

    def _entry(self, manifest: Manifest) -> str:
        return self._warehouse.statement(
            "add_batch",
            batch=str(manifest.batch),
            moment=literal(manifest.snapshot_at),
            execution=literal(self._execution),
        )

    def _note_tables(self, done: Iterable[Done]) -> None:
        """Writes each batch's effect on each table into the log."""
        entries = [
            (manifest.batch, table, *vars(loaded).values())
            for manifest, tables in done
            for table, loaded in (tables or {}).items()
        ]
        if entries:
            self._warehouse.execute("add_batch_tables", entries=", ".join(map(_values, entries)))


def _is_of_one(error: Exception) -> bool:
    """Returns whether an error may come from a single batch, and would come again."""
    if isinstance(error, pg8000.dbapi.DatabaseError):
        return not sqlstate(error).startswith(_PASSING)
    return isinstance(error, (TerminalError, ContractViolation))


def _batch(manifest: Manifest, said: dict[str, str]) -> _Batch:
    """Returns a batch without the parts that repeat a table's latest rows in the same transaction.

    Args:
        said: the hash of the latest rows in the transaction, by table. This function updates it.
    """
    objects = {Part(table, part): stored for table, parts in manifest.tables.items() for part, stored in parts.items()}
    repeated = {
        part for part, stored in objects.items() if part.name == "data" and said.get(part.table) == stored.sha256
    }
    said |= {part.table: stored.sha256 for part, stored in objects.items() if part.name == "data"}
    for part in objects:
        if part.name == "deleted":
            # Deleted rows may come back unchanged, and must then be loaded again.
            said.pop(part.table, None)
    return _Batch(manifest, {part: stored for part, stored in objects.items() if part not in repeated})


def _unchecked(warehouse: Warehouse, log: BatchLog, last: Manifest | None) -> Mapping[str, int]:
    """Returns the last record ids before a backfill, if the last loaded batch belongs to one; else nothing."""
    if last is None or not last.is_of_backfill:
        return {}
    while last.batch > 1 and (before := log.read(last.batch - 1)).is_of_backfill:
        last = before
    return rules.record_ids_before(warehouse, last.batch)


def _uncorrected(error: ContractViolation, batches: int) -> ContractViolation:
    """Returns the error of a broken check that no batch corrects within the time of one function."""
    return ContractViolation(
        f"{error.found} The {batches:,} batches that one function has time for do not correct that, and more are left.",
        "Give the function load more time in serverless.yml (timeout, at most 900 s), and the tasks that call it more "
        "than that (TimeoutSeconds in statemachine/), and deploy. If no later batch corrects the rows, correct them in "
        "totesys as well.",
    ).about(error.tables)


def _counted(manifest: Manifest, moved: Mapping[str, Loaded]) -> dict[str, Loaded]:
    """Returns a batch's effect on each table of the stars, and logs it."""
    counted = {}
    for table in warehouse_tables():
        if parts := manifest.tables.get(table):
            rows = {part: parts[part].rows if part in parts else 0 for part in ("data", "deleted")}
            counted[table] = replace(moved.get(table, Loaded()), staged=rows["data"], deleted=rows["deleted"])
            logger.info("loaded", table=table, **vars(counted[table]))
    return counted


def _values(entry: Iterable[object]) -> str:
    return f"({', '.join('NULL' if value is None else literal(value) for value in entry)})"
