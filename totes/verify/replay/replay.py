"""Replays: builds the warehouse again from the processed zone, beside the live one, to compare or replace the live one.

The lake is the truth, and the warehouse a projection of it: batches 1 to n give the same content each time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pg8000.dbapi

from totes.errors import ContractViolation, DatabaseFailed, VersionUnknown
from totes.lake.batch_log import BatchLog
from totes.load import load_pending
from totes.postgres.connection import WAREHOUSE, connected, quoted
from totes.verify.replay import difference
from totes.verify.replay.difference import Divergence
from totes.warehouse import schema
from totes.warehouse.log import last_batch
from totes.warehouse.record_ids import RecordIdsGiven, advance_sequence
from totes.warehouse.warehouse import Schemas, Warehouse

if TYPE_CHECKING:
    from totes.lake.bucket import Lake
    from totes.runtime.secrets import Credentials

SHADOW = Schemas("replay", "replay_etl")
# The comment on a replay's schemas, by which the next replay recognises them.
_MARK = "A replay of the warehouse. It ends with the command that made it, or with the next of its kind."
_SCHEMAS = "SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = ANY(:names)"
# The connection holds the lock until it ends.
_LOCK = "SELECT pg_catalog.pg_advisory_lock(:key)"

# A callback for progress: it is called with a few words.
Seen = Callable[[str], object]


@dataclass(frozen=True)
class Comparison:
    """The comparison of the live warehouse with a replay.

    Attributes:
        batch: the last batch that was replayed.
    """

    batch: int
    tables: list[Divergence]

    @property
    def agrees(self) -> bool:
        return all(table.agrees for table in self.tables)


@contextmanager
def replaying(
    credentials: "Credentials", processed: "Lake", execution: str, whole: bool, seen: Seen = lambda _: None
) -> Iterator["Replay"]:
    """Makes a replay for the block, and drops its tables at the end.

    Args:
        execution: the name that its entries in the log have in place of an execution's.
        whole: whether to replay all processed batches, even if the live warehouse has none of them, or no schema. If
            not, only those that the live warehouse has.

    Raises:
        WarehouseBusy: another replay is running.
        VersionUnknown: the live schema does not have this release's version.
        LogBroken, CorruptObject, ObjectMissing, ContractViolation: a batch can't be loaded, see totes.load.
    """
    address = (WAREHOUSE, credentials, "totes-replay")
    with connected(*address) as first, connected(*address) as second:
        live, shadow = Warehouse(first), Warehouse(second, SHADOW)
        _require_schema(live, whole)
        _begin(shadow)
        try:
            replay = Replay(live, shadow, processed, execution, seen)
            if whole:
                replay.bring_to_the_end()
            yield replay
        except (Exception, KeyboardInterrupt):
            # An interrupted statement loses its connection: then the other one drops the tables, or the next replay.
            for connection in (second, first):
                with suppress(pg8000.dbapi.Error, OSError):
                    _drop(Warehouse(connection, SHADOW))
                    break
            raise
        _drop(shadow)


class Replay:
    """A warehouse beside the live one, over a connection to each."""

    def __init__(
        self,
        live: Warehouse,
        shadow: Warehouse,
        processed: "Lake",
        execution: str,
        seen: Seen,
    ) -> None:
        self._live = live
        self._shadow = shadow
        self._processed = processed
        self._log = BatchLog(processed)
        self._execution = execution
        self._seen = seen
        self._batch = 0
        schema.migrate(shadow)
        self._tables = difference.tables(shadow, live.schemas)

    def bring_to_the_end(self) -> None:
        """Replays all processed batches, except those at the end that break a rule and wait for their correction."""
        try:
            self._bring_to(self._log.last())
        except ContractViolation:
            with self._live.begin(), self._shadow.begin():
                self._batch = last_batch(self._shadow)
                if self._batch < last_batch(self._live):
                    raise

    def compare(self) -> Comparison:
        """Compares both as of one moment, at which the replay has all batches that the live warehouse has.

        Load does not wait: if it loads further batches meanwhile, the replay loads them, too.
        """
        while True:
            with self._live.begin():
                self._live.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                through = min(last_batch(self._live), self._log.last())
                if through <= self._batch:
                    return self._compared()
            self._bring_to(through)

    def swap(self, found: Comparison) -> None:
        """Makes the live warehouse equal to the replay, in one transaction, and compares them before the commit.

        Load waits meanwhile. Record ids stay, and new ones continue after the last.

        Args:
            found: the comparison, which may be slightly out of date.

        Raises:
            LogBroken: the live warehouse has batches that the lake does not have.
            DatabaseFailed: something prevents them from becoming equal.
        """
        while True:
            with self._live.begin():
                self._live.lock()
                through = last_batch(self._live)
                if through <= self._batch:
                    self._seen("swapping")
                    difference.move(self._live, self._tables, found.tables)
                    advance_sequence(self._live)
                    _require_agreement(self._compared())
                    return
            self._bring_to(through)

    def _compared(self) -> Comparison:
        found = []
        for table in self._tables:
            self._seen(f"comparing {table.name}")
            found.append(table.compare(self._live.connection))
        return Comparison(self._batch, found)

    def _bring_to(self, batch: int) -> None:
        with self._live.begin():
            given = RecordIdsGiven(self._live)

        def begins(number: int) -> None:
            self._seen(f"replaying batch {number:,} of {batch:,}")
            given.repeat(self._shadow, number)

        self._batch = load_pending(self._shadow, self._processed, self._execution, batch, begins).loaded_through


def _require_schema(live: Warehouse, whole: bool) -> None:
    with live.begin():
        applied, wider = schema.applied_version(live), schema.widenings(schema.read(live))
    if applied == 0 and whole:
        schema.migrate(live)
    elif applied != schema.latest_version():
        raise VersionUnknown(
            f"The warehouse's schema has version {applied}, this release's is {schema.latest_version()}.",
            "Replay with the release that is deployed. If that is this one, start an execution first.",
        )
    elif wider:
        raise VersionUnknown(
            f"Columns of the warehouse do not have their declared types yet: {schema.column_names(wider)}.",
            "Start an execution first: its Load migrates them.",
        )


def _begin(shadow: Warehouse) -> None:
    """Waits until no other replay is running, locks others out until the connection ends, and creates the schemas."""
    with shadow.begin():
        shadow.connection.execute(_LOCK, {"key": shadow.schemas.lock})
    _drop(shadow)
    with shadow.begin():
        for name in (shadow.schemas.stars, shadow.schemas.log):
            shadow.run(f"CREATE SCHEMA {quoted(name)}")
            shadow.run(f"COMMENT ON SCHEMA {quoted(name)} IS '{_MARK}'")


def _drop(shadow: Warehouse) -> None:
    """Drops the schemas of a replay, and nothing else.

    Raises:
        DatabaseFailed: a schema has the name of a replay's, but no replay has made it.
    """
    names = [shadow.schemas.log, shadow.schemas.stars]
    with shadow.begin():
        for name, mark in shadow.connection.execute(_SCHEMAS, {"names": names}).all():
            if mark != _MARK:
                raise DatabaseFailed(f"The warehouse has a schema {name} that no replay has made.", "Rename it.")
            shadow.run(f"DROP SCHEMA {quoted(name)} CASCADE")


def _require_agreement(found: Comparison) -> None:
    if found.agrees:
        return
    apart = "; ".join(
        f"{table.table}: {table.missing.rows} missing, {table.extra.rows} extra, {table.differing.rows} differing"
        for table in found.tables
        if not table.agrees
    )
    raise DatabaseFailed(
        f"The live warehouse would still differ from the lake: {apart}. Nothing was changed.",
        "Look for triggers, rules and missing primary keys on these tables. If you find none, drop all tables of the "
        "warehouse and of the schema etl: the next execution creates them again and loads every batch.",
    )
