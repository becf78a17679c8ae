"""Checks the lake and the warehouse once, against the rows of totesys that snapshots saw."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.support import oracle
from tests.support.ledger import Zone
from tests.support.oracle import CALENDAR, DIMENSIONS, FACTS, MEASURES, SOURCE, Picture, Version

SHOWN = 3
# By log: the columns that it has for each batch, in its own order.
Logs = dict[str, dict[int, object]]
_ORIGINS = {**{name: fact.source for name, fact in FACTS.items()}, **{name: d.source for name, d in DIMENSIONS.items()}}


class Inspection:
    """The state of all three logs at one moment.

    Args:
        cursor: a cursor of a connection to the warehouse.

    Attributes:
        logs: `landed`, `processed` and `loaded`.
        moments: the snapshot times of batches 1, 2, 3 …, from the landing zone.
    """

    def __init__(self, landing: Zone, processed: Zone, cursor: Any) -> None:
        self._landing, self._processed, self._cursor = landing, processed, cursor
        self._landed_entries, self._processed_entries = landing.entries(), processed.entries()
        loaded = []
        if self._star("SELECT to_regclass('etl.batch')")[0][0]:
            loaded = self._star("SELECT batch_id, snapshot_at FROM etl.batch ORDER BY batch_id")
        self.logs: Logs = {
            "landed": {entry.batch: entry.etag for entry in self._landed_entries},
            "processed": {entry.batch: entry.etag for entry in self._processed_entries},
            "loaded": dict(loaded),
        }
        self.moments = [_moment(entry.manifest) for entry in self._landed_entries]

    def log_violations(self, before: Logs) -> list[str]:
        """Checks I4, given the logs of an earlier inspection."""
        found = []
        for name, log in self.logs.items():
            if list(log) != list(range(1, len(log) + 1)):
                found.append(f"I4 the log of what is {name} has a gap: {list(log)}")
            if gone := [batch for batch, said in before.get(name, {}).items() if log.get(batch) != said]:
                found.append(f"I4 the log of what is {name} went back, or says something else, at batches {gone}")
        landed, processed, loaded = map(len, self.logs.values())
        if not loaded <= processed <= landed:
            found.append(f"I4 landed {landed}, processed {processed}, loaded {loaded}")
        elsewhere = [_moment(entry.manifest) for entry in self._processed_entries], [*self.logs["loaded"].values()]
        if any(moments != self.moments[: len(moments)] for moments in elsewhere):
            found.append("I4 a batch has not the same snapshot in all three logs")
        return found

    def lake_violations(self, history: Sequence[Picture]) -> list[str]:
        """Checks I3, totesys against both zones, batch by batch.

        Args:
            history: the pictures from all landed batches' snapshots.
        """
        found = []
        for zone, entries, origins in (
            (self._landing, self._landed_entries, {table: table for table in SOURCE}),
            (self._processed, self._processed_entries, _ORIGINS),
        ):
            for state in zone.states(entries):
                found += [f"I3 batch {state.batch}: {what}" for what in state.wrong]
                for table, source in origins.items():
                    there = oracle.sums(source, history[state.batch - 1].tables[source])
                    here = _sums(source, state.held.get(table, {}))
                    found += _differ(f"I3 batch {state.batch}, {table}", totesys=there, lake=here)
        keyless = [
            table for entry in self._landed_entries for table in SOURCE if "keys" not in entry.manifest["tables"][table]
        ]
        return _shown("", found) + [f"I3 {table} was landed without its keys" for table in keyless]

    def warehouse_violations(self, history: Sequence[Picture]) -> list[str]:
        """Checks I1, I2 and the warehouse's part of I3.

        Args:
            history: the pictures from all loaded batches' snapshots.
        """
        versions = {name: oracle.versions(fact, history) for name, fact in FACTS.items()}
        found = self._staged_violations(len(history))
        for name in FACTS:
            found += self._fact_violations(name, versions[name], history)
        for name, dimension in DIMENSIONS.items():
            expected = [row for _, row in sorted(oracle.latest(dimension, history).items())]
            rows = self._star(f"SELECT {_listed(dimension.columns)} FROM {name} ORDER BY 1")
            found += _compared("I1", name, expected, rows)
        days = self._star(f"SELECT {_listed(CALENDAR)} FROM dim_date ORDER BY 1")
        found += _compared("I1", "dim_date", oracle.days(versions.values()), days)
        tombstoned = [stone for name, source in _ORIGINS.items() for stone in oracle.tombstones(name, source, history)]
        noted = self._star(
            "SELECT table_name, business_id, batch_id, ended_batch_id FROM etl.tombstone ORDER BY 1, 2, 3"
        )
        return found + _compared("I1", "etl.tombstone", sorted(tombstoned), noted)

    def _fact_violations(
        self, name: str, expected: Mapping[int, list[Version]], history: Sequence[Picture]
    ) -> list[str]:
        source, columns = FACTS[name].source, FACTS[name].columns
        rows = self._star(
            f"SELECT {source}_id, version, batch_id, valid_from, valid_to, deleted, {_listed(columns)} "
            f"FROM {source}_history ORDER BY 1, 2"
        )
        found = [
            f"I2 {source} {row[0]}: versions {before[1]} and {row[1]} are the same"
            for before, row in pairwise(rows)
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
        totals = "".join(f", coalesce(sum({measure}), 0)" for measure in MEASURES[source])
        (here,) = self._star(f"SELECT count(*){totals} FROM current_{source}")
        there = oracle.sums(source, history[-1].tables[source])
        return found + _differ(f"I3 current_{source}", totesys=there, warehouse=here)

    def _staged_violations(self, loaded: int) -> list[str]:
        """Checks that every batch brought as many rows into each table as its manifest says."""
        expected = sorted(
            (entry.batch, table, *(parts.get(part, {}).get("rows", 0) for part in ("data", "deleted")))
            for entry in self._processed_entries[:loaded]
            for table, parts in entry.manifest["tables"].items()
            if parts.keys() & {"data", "deleted"}
        )
        rows = self._star("SELECT batch_id, table_name, rows_staged, rows_deleted FROM etl.batch_table ORDER BY 1, 2")
        return _compared("I3", "etl.batch_table", expected, rows)

    def _star(self, query: str) -> list[tuple[Any, ...]]:
        self._cursor.execute(query)
        return [tuple(row) for row in self._cursor.fetchall()]


def changes(seen: Picture, now: Picture) -> list[str]:
    """Returns the rows that no batch has, although totesys holds them."""
    return _shown("I1", [f"{what} has changed in totesys and no batch says so" for what in oracle.changed(seen, now)])


def _moment(manifest: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(manifest["snapshot_at"])


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def _sums(table: str, rows: Mapping[int, tuple[Any, ...]]) -> tuple[Any, ...]:
    measures = zip(*rows.values(), strict=True) if rows else [()] * len(MEASURES.get(table, ()))
    return (len(rows), *map(sum, measures))


def _differ(where: str, **sides: tuple[Any, ...]) -> list[str]:
    (one, left), (other, right) = sides.items()
    return [] if left == right else [f"{where}: {one} counts and adds up to {list(left)}, {other} to {list(right)}"]


def _compared(invariant: str, table: str, expected: list[Any], found: list[Any]) -> list[str]:
    if expected == found:
        return []
    seen, held = set(expected), set(found)
    lacking = [f"{table} lacks {row}" for row in expected if row not in held]
    surplus = [f"{table} has {row}, which nobody saw" for row in found if row not in seen]
    return _shown(invariant, lacking + surplus or [f"{table} holds a row twice"])


def _shown(invariant: str, found: list[str]) -> list[str]:
    more = [f"… and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return [f"{invariant} {what}".lstrip() for what in found[:SHOWN] + more]
