"""The witness: sees what every snapshot of totesys saw, and holds the warehouse against it.

The invariants are those of docs/promise.md. A violation is a sentence that begins with the invariant's number.

    with Witness(pipeline) as witness:
        pipeline.run()
        assert witness.violations() == []
        assert witness.quiet(pipeline.run) == []
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from unittest import mock

import sqlalchemy

from tests import oracle
from tests.ledger import Zone
from tests.oracle import CALENDAR, DIMENSIONS, FACTS, MEASURES, SOURCE, Picture, Version
from tests.pipeline import Pipeline, physical_rows
from totes import ingest
from totes.source import Snapshot

SHOWN = 3
_TABLES = {**{name: fact.source for name, fact in FACTS.items()}, **{name: d.source for name, d in DIMENSIONS.items()}}


class Witness:
    """Watches one pipeline, from any thread of this process, for as long as the `with` block lasts.

    Attributes:
        pictures: what was seen, by the moment of the snapshot; whether a batch came of it or not.
        set_aside: {batch: {(table, key)}} of rows that were left out of a batch on purpose.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.pictures: dict[datetime, Picture] = {}
        self.set_aside: dict[int, set[tuple[str, int]]] = {}
        self._zones = [Zone(pipeline.s3, bucket) for bucket in (pipeline.landing_bucket, pipeline.processed_bucket)]
        self._last_look: list[dict[int, object]] = [{}, {}, {}]
        self._watching = contextlib.ExitStack()

    def __enter__(self) -> Self:
        take = vars(ingest)["snapshot"]

        @contextlib.contextmanager
        def witnessed(connection: sqlalchemy.Connection) -> Iterator[Snapshot]:
            with take(connection) as taken:
                yield taken
                # Ingest has read all that it wants, and its transaction is still open: no lock can be in the way now.
                self._look(connection, taken)

        self._watching.enter_context(mock.patch.object(ingest, "snapshot", witnessed))
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._watching.close()

    def violations(self) -> list[str]:
        """What contradicts I1 to I4, as far as the warehouse has come; nothing where all is well."""
        logs = self._logs()
        found = self._log_violations(logs)
        landed, _, loaded = logs
        moments = [datetime.fromisoformat(entry.manifest["snapshot_at"]) for entry in self._zones[0].entries()]
        if unseen := [batch for batch, moment in enumerate(moments, start=1) if moment not in self.pictures]:
            return [*found, f"I1 nobody saw the snapshots of batches {unseen}"]
        if found or not landed:
            return found
        history = oracle.admitted([self.pictures[moment] for moment in moments], self.set_aside)
        found += self._lake_violations(history)
        if loaded:
            found += self._warehouse_violations(history[: len(loaded)])
        return found

    def quiet(self, run: Callable[[], object]) -> list[str]:
        """What contradicts I6, where nothing was left to do: the run changes no object and no row.

        Nor may it be quiet for the wrong reason: what totesys holds now is what the last batch saw.
        """
        before = self.pipeline.objects(), physical_rows(self.pipeline)
        run()
        after = self.pipeline.objects(), physical_rows(self.pipeline)
        objects = before[0] ^ after[0]
        tables = [table for table in before[1].keys() | after[1].keys() if before[1].get(table) != after[1].get(table)]
        found = [f"I6 a run with nothing new wrote {what}" for what in sorted(objects)[:SHOWN] + sorted(tables)]
        return found + self.unsettled()

    def unsettled(self) -> list[str]:
        """What totesys holds now and the warehouse's last batch did not see."""
        entries = self._zones[0].entries()
        if not entries or len(self._logs()[2]) < len(entries):
            return ["I1 a batch is not loaded"]
        seen = self.pictures.get(datetime.fromisoformat(entries[-1].manifest["snapshot_at"]))
        if seen is None:
            return ["I1 nobody saw the snapshot of the last batch"]
        now = Picture(seen.taken_at, self._read(None))
        return _shown("I1", [f"{what} changed in totesys and no batch says so" for what in oracle.changed(seen, now)])

    def _look(self, connection: sqlalchemy.Connection, taken: Snapshot) -> None:
        driver: Any = connection.connection.driver_connection
        # Past SQLAlchemy, so that whoever counts the pipeline's statements does not count this one.
        with contextlib.closing(driver.cursor()) as cursor:
            cursor.execute("SELECT current_database(), pg_export_snapshot()")
            ((database, exported),) = cursor.fetchall()
        if database != self.pipeline.source:
            return
        self.pictures[taken.taken_at] = Picture(taken.taken_at, self._read(exported))

    def _read(self, exported: str | None) -> dict[str, dict[int, dict[str, str | None]]]:
        """All rows of totesys, as a snapshot shows them or as they are now."""
        with self.pipeline.connection(self.pipeline.source) as connection:
            cursor = connection.cursor()
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if exported:
                cursor.execute(f"SET TRANSACTION SNAPSHOT '{exported}'")
            cursor.execute("SET LOCAL DateStyle = 'ISO, YMD'")
            return {table: _rows(cursor, table) for table in SOURCE}

    def _logs(self) -> list[dict[int, object]]:
        """What each of the three logs says of each batch, in the log's order."""
        loaded: dict[int, object] = {}
        if self._star("SELECT to_regclass('etl.batch')")[0][0]:
            loaded = dict(self._star("SELECT batch_id, snapshot_at FROM etl.batch ORDER BY batch_id"))
        return [*({entry.batch: entry.etag for entry in zone.entries()} for zone in self._zones), loaded]

    def _log_violations(self, logs: list[dict[int, object]]) -> list[str]:
        found = []
        for name, log, before in zip(("landed", "processed", "loaded"), logs, self._last_look, strict=True):
            if list(log) != list(range(1, len(log) + 1)):
                found.append(f"I4 the log of what is {name} has a gap: {list(log)}")
            if changed := [batch for batch in before if log.get(batch) != before[batch]]:
                found.append(f"I4 the log of what is {name} has gone back, or was changed, at batches {changed}")
        landed, processed, loaded = logs
        if not len(loaded) <= len(processed) <= len(landed):
            found.append(f"I4 landed {len(landed)}, processed {len(processed)}, loaded {len(loaded)}")
        entries = self._zones[0].entries()
        moments = [datetime.fromisoformat(entry.manifest["snapshot_at"]) for entry in entries]
        if moments != sorted(set(moments)) or moments[: len(loaded)] != list(loaded.values()):
            found.append(f"I4 snapshots are not one after the other: {moments}, loaded {list(loaded.values())}")
        self._last_look = logs
        return found

    def _lake_violations(self, history: list[Picture]) -> list[str]:
        found = []
        landing, processed = self._zones
        for entry, held, wrong in landing.states():
            found += [f"I3 landing zone, batch {entry.batch}: {what}" for what in wrong]
            for table in SOURCE:
                expected = oracle.sums(table, history[entry.batch - 1].tables[table])
                found += _differ(
                    f"I3 {table}, batch {entry.batch}", totesys=expected, landed=_sums(table, held.get(table))
                )
        for entry, held, wrong in processed.states():
            found += [f"I3 processed zone, batch {entry.batch}: {what}" for what in wrong]
            for table, source in _TABLES.items():
                expected = oracle.sums(source, history[entry.batch - 1].tables[source])
                here = _sums(source, held.get(table))
                found += _differ(f"I3 {table}, batch {entry.batch}", totesys=expected, processed=here)
        return found[:SHOWN]

    def _warehouse_violations(self, history: list[Picture]) -> list[str]:
        found = self._staged_violations(len(history))
        all_versions = {}
        buried = set()
        for name, fact in FACTS.items():
            all_versions[name] = oracle.versions(fact, history)
            found += self._fact_violations(name, all_versions[name], history)
            buried |= oracle.tombstones(name, fact.source, history)
        for name, dimension in DIMENSIONS.items():
            rows = self._star(f"SELECT {_listed(dimension.columns)} FROM {name} ORDER BY 1")
            expected = sorted(oracle.latest(dimension, history).items())
            found += _compared("I1", name, [values for _, values in expected], rows)
            buried |= oracle.tombstones(name, dimension.source, history)
        days = self._star(f"SELECT {_listed(CALENDAR)} FROM dim_date ORDER BY 1")
        found += _compared("I1", "dim_date", oracle.days(all_versions.values()), days)
        noted = self._star("SELECT table_name, business_id, batch_id FROM etl.tombstone ORDER BY 1, 2, 3")
        return found + _compared("I1", "etl.tombstone", sorted(buried), noted)

    def _fact_violations(self, name: str, expected: Mapping[int, list[Version]], history: list[Picture]) -> list[str]:
        source, columns = FACTS[name].source, FACTS[name].columns
        rows = self._star(
            f"SELECT {source}_id, version, batch_id, valid_from, valid_to, deleted, {_listed(columns)} "
            f"FROM {source}_history ORDER BY 1, 2"
        )
        found = [
            f"I2 {source} {row[0]}: versions {before[1]} and {row[1]} are the same"
            for before, row in itertools.pairwise(rows)
            if before[0] == row[0] and before[6:] == row[6:] and not before[5]
        ]
        at = [None, *(picture.taken_at for picture in history)]
        wanted = [
            (key, number, version.batch, at[version.batch], at[version.ended or 0], version.deleted, *version.values)
            for key, of_one in sorted(expected.items())
            for number, version in enumerate(of_one, start=1)
        ]
        found += _compared("I1", f"{source}_history", wanted, rows)
        alive = [of_one[-1].values for _, of_one in sorted(expected.items()) if not of_one[-1].deleted]
        current = self._star(f"SELECT {_listed(columns)} FROM current_{source} ORDER BY {source}_id")
        found += _compared("I1", f"current_{source}", alive, current)
        measures = "".join(f", coalesce(sum({name}), 0)" for name in MEASURES[source])
        ((count, *totals),) = self._star(f"SELECT count(*){measures} FROM current_{source}")
        there = oracle.sums(source, history[-1].tables[source])
        return found + _differ(f"I3 current_{source}", totesys=there, warehouse=(count, *totals))

    def _staged_violations(self, loaded: int) -> list[str]:
        """Did every batch bring into the warehouse's tables what its manifest says?"""
        expected = sorted(
            (entry.batch, table, *(parts.get(part, {}).get("rows", 0) for part in ("data", "deleted")))
            for entry in self._zones[1].entries()[:loaded]
            for table, parts in entry.manifest["tables"].items()
        )
        rows = self._star("SELECT batch_id, table_name, rows_staged, rows_deleted FROM etl.batch_table ORDER BY 1, 2")
        return _compared("I3", "etl.batch_table", expected, rows)

    def _star(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.pipeline.star(query)]


def _rows(cursor: Any, table: str) -> dict[int, dict[str, str | None]]:
    columns = SOURCE[table]
    cursor.execute(f"SELECT {', '.join(f'CAST({name} AS text)' for name in columns)} FROM {table}")
    return {int(row[0]): dict(zip(columns, row, strict=True)) for row in cursor.fetchall()}


def _listed(columns: Any) -> str:
    return ", ".join(columns)


def _sums(table: str, rows: Mapping[int, tuple[Any, ...]] | None) -> tuple[Any, ...]:
    measured = zip(*rows.values(), strict=True) if rows else [()] * len(MEASURES.get(table, ()))
    return (len(rows or ()), *(sum(values) for values in measured))


def _differ(where: str, **sides: tuple[Any, ...]) -> list[str]:
    (one, left), (other, right) = sides.items()
    return [] if left == right else [f"{where}: {one} counts and adds up to {list(left)}, {other} to {list(right)}"]


def _compared(invariant: str, table: str, expected: list[Any], found: list[Any]) -> list[str]:
    if expected == found:
        return []
    seen, held = set(expected), set(found)
    lacking = [f"{table} lacks {row}" for row in expected if row not in held]
    surplus = [f"{table} has {row}, which nobody saw" for row in found if row not in seen]
    return _shown(invariant, lacking + surplus or [f"{table} has a row twice, or in another order"])


def _shown(invariant: str, found: list[str]) -> list[str]:
    more = [f"{invariant} … and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return [f"{invariant} {what}" for what in found[:SHOWN]] + more
