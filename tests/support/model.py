"""The history checker: it sees the rows of every snapshot of totesys, and compares lake and warehouse with them.

docs/promise.md defines the invariants I1 to I6. A violation is a sentence that begins with the invariant's number.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from unittest import mock

from tests.support import inspection, oracle
from tests.support.inspection import Inspection, Logs
from tests.support.ledger import Zone
from tests.support.oracle import SOURCE, Picture
from tests.support.pipeline import Pipeline, physical_rows
from totes import ingest
from totes.errors import DeletionsHeld
from totes.lake.manifest import Manifest
from totes.postgres.driver import PipelineConnection
from totes.source.snapshot import Snapshot

# If a table is rewritten after a snapshot, the snapshot shows it empty, or with rows that it never had.
_REWRITTEN = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = CAST('public' AS regnamespace) "
    f"AND relname IN ({', '.join(map(repr, SOURCE))}) AND relfilenode IS DISTINCT FROM pg_relation_filenode(oid)"
)
# Overrides the defaults of the database and the role.
_READABLE = "SET DateStyle = 'ISO, YMD'"


class HistoryChecker:
    """Watches one pipeline, from any thread of this process, for the `with` block.

    Args:
        before: the history checker of the pipeline from which this one was copied.

    Attributes:
        pictures: the rows that each snapshot saw, by its time, even if no batch came of it.
        set_aside: {batch: {(table, key)}} of rows that are quarantined on purpose.
        held: the picture of the last run that was held because of deletions.
    """

    def __init__(self, pipeline: Pipeline, before: "HistoryChecker | None" = None) -> None:
        self.pipeline = pipeline
        self.pictures: dict[datetime, Picture] = dict(before.pictures) if before else {}
        self.quarantined: dict[int, set[tuple[str, int]]] = {}
        self.held: Picture | None = None
        self._rewritten: list[str] = []
        self._zones = Zone(pipeline.landing_bucket), Zone(pipeline.processed_bucket)
        if before:
            for zone, copied in zip(self._zones, before._zones, strict=True):
                zone.know(copied)
        self._last_look: Logs = {}
        self._watching = contextlib.ExitStack()

    def __enter__(self) -> Self:
        take, after = vars(ingest)["snapshot"], vars(ingest)["moment_after"]

        @contextlib.contextmanager
        def checked_history(connection: PipelineConnection) -> Iterator[Snapshot]:
            with take(connection) as taken:
                try:
                    yield taken
                except DeletionsHeld:
                    self.held = self._look(connection, taken)
                    raise
                # Ingest has read everything, and its transaction is still open, so no lock can be in the way now.
                self._look(connection, taken)

        def moved(previous: Manifest | None, moment: datetime) -> datetime:
            # If the clock went back, a batch has a later time than its snapshot.
            at: datetime = after(previous, moment)
            if moment in self.pictures:
                self.pictures[at] = replace(self.pictures[moment], taken_at=at)
            return at

        self._watching.enter_context(mock.patch.object(ingest, "snapshot", checked_history))
        self._watching.enter_context(mock.patch.object(ingest, "moment_after", moved))
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._watching.close()

    def violations(self) -> list[str]:
        """Returns the violations of I1 to I4, for the batches that the warehouse has; empty if there are none."""
        with self._inspection() as look:
            found = look.log_violations(self._last_look) + self._rewritten
            self._last_look = look.logs
            if unseen := [batch for batch, at in enumerate(look.moments, start=1) if at not in self.pictures]:
                found.append(f"I1 nobody saw the snapshots of batches {unseen}")
            if found or not look.moments:
                return found
            history = oracle.admitted([self.pictures[at] for at in look.moments], self.quarantined)
            found = look.lake_violations(history)
            if loaded := len(look.logs["loaded"]):
                found += look.warehouse_violations(history[:loaded])
        return found

    def held_rightly(self, counts: Mapping[str, int]) -> bool:
        """Returns whether the last run that deletions held was right to stop, and named exactly these deletions.

        That run compared totesys with the last batch that it knew, which may no longer be the last one.
        """
        with self._inspection() as look:
            seen = [self.pictures[at] for at in look.moments]
        return self.held is not None and any(oracle.gone_at_once(batch, self.held) == counts for batch in seen)

    def unconfirmed(self, confirmed: Sequence[Mapping[str, int]]) -> list[str]:
        """Returns a violation for each unconfirmed mass deletion in a batch.

        Args:
            confirmed: the confirmed deletions, as rows by table.
        """
        with self._inspection() as look:
            seen = [self.pictures[at] for at in look.moments]
        return [
            f"I1 batch {batch} has lost {gone} rows of {table}, which nobody has confirmed"
            for batch, (before, now) in enumerate(itertools.pairwise(seen), start=2)
            for table, gone in oracle.gone_at_once(before, now).items()
            if all(gone > counts.get(table, 0) for counts in confirmed)
        ]

    def quiet(self, run: Callable[[], object]) -> list[str]:
        """Returns the violations of I6, for a run without anything to do: it changes no object and no row.

        The run must be quiet for the right reason: totesys still holds what the last batch saw.
        """
        before = self._traces()
        run()
        written = sorted(before ^ self._traces())
        return [f"I6 a run with nothing new wrote {what}" for what in written[: inspection.SHOWN]] + self.unsettled()

    def unsettled(self) -> list[str]:
        """Returns the changes in flight: batches that are not loaded, and rows of totesys that no batch has seen."""
        with self._inspection() as look:
            if not look.moments or len(look.logs["loaded"]) < len(look.moments):
                return [f"I1 {len(look.moments)} batches are landed, {len(look.logs['loaded'])} loaded"]
            seen = self.pictures.get(look.moments[-1])
        return inspection.changes(seen, self._read()) if seen else ["I1 nobody saw the snapshot of the last batch"]

    def forgive_drop(self) -> None:
        """Expects a dropped warehouse, which is allowed: its log starts again."""
        self._last_look = {**self._last_look, "loaded": {}}

    @contextlib.contextmanager
    def _inspection(self) -> Iterator[Inspection]:
        with self.pipeline.connection(self.pipeline.warehouse) as connection:
            cursor = connection.cursor()
            cursor.execute(_READABLE)
            yield Inspection(*self._zones, cursor)

    def _traces(self) -> set[str]:
        """Returns all traces that a run could leave: objects with digests, and tables with the places of their rows."""
        return self.pipeline.objects() | {f"{name} {digest}" for name, digest in physical_rows(self.pipeline).items()}

    def _look(self, connection: PipelineConnection, taken: Snapshot) -> Picture | None:
        driver: Any = connection
        # Not through SQLAlchemy, so that this statement is not counted with the pipeline's.
        with contextlib.closing(driver.cursor()) as cursor:
            cursor.execute("SELECT current_database(), pg_export_snapshot()")
            ((database, exported),) = cursor.fetchall()
        if database != self.pipeline.source:
            return None
        seen = Picture(taken.taken_at, self._read(exported).tables)
        self.pictures[taken.taken_at] = seen
        return seen

    def _read(self, exported: str | None = None) -> Picture:
        """Returns all rows of totesys, as a snapshot shows them or as they are now."""
        with self.pipeline.connection(self.pipeline.source) as connection:
            cursor = connection.cursor()
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if exported:
                cursor.execute(f"SET TRANSACTION SNAPSHOT '{exported}'")
            cursor.execute(_REWRITTEN)
            self._rewritten += [f"I1 {name} was rewritten while a batch was read" for (name,) in cursor.fetchall()]
            cursor.execute(_READABLE)
            cursor.execute("SELECT clock_timestamp()")
            ((now,),) = cursor.fetchall()
            return Picture(now, {table: _rows(cursor, table) for table in SOURCE})


def _rows(cursor: Any, table: str) -> dict[int, dict[str, str | None]]:
    columns = SOURCE[table]
    # As one JSON text, because the driver takes many times as long for the same rows.
    texts = ", ".join(f"CAST({name} AS text)" for name in columns)
    cursor.execute(f"SELECT json_agg(json_build_array({texts})) FROM {table}")
    ((rows,),) = cursor.fetchall()
    return {int(row[0]): dict(zip(columns, row, strict=True)) for row in rows or ()}
