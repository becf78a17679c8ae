"""Backfill: many functions read totesys at once, for tables that are too large for one function.

The plan takes one snapshot, whose fence is the fence of the whole backfill. The backfill reads tables in ranges of
keys, each in its own snapshot. Each range becomes a batch. It reads dimensions first, and then only those facts that
are older than the fence. Every row that such a fact refers to was there at the plan, and can't be deleted before the
fact is. The pipeline's next execution reads later changes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from totes.contracts.declarations import SourceTable, source_columns, source_tables
from totes.contracts.requests import BackfillRequest
from totes.errors import BackfillOutdated, ContractViolation, LogBroken
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake, StoredObject
from totes.lake.keys import Keys
from totes.lake.manifest import BACKFILL, Manifest, Parts, moment_after, parse_parts
from totes.lake.parquet import batches, keys_schema, write_keys
from totes.postgres.catalogue import relations_to_read, structure_of
from totes.postgres.connection import TOTESYS, connected
from totes.postgres.tls import weakness
from totes.runtime.log import about, logger
from totes.runtime.scratch import scratch
from totes.runtime.secrets import read_credentials
from totes.runtime.settings import BackfillSettings
from totes.source.backfill_plan import Plan, Range, dividable, divided, fact_sources, parse_plan
from totes.source.extract import Extracted, extract, extract_range
from totes.source.fence import reason_to_read_all
from totes.source.flush import durable_position
from totes.source.snapshot import Snapshot, snapshot
from totes.source.windows import Window


class Backfill:
    """The steps of one backfill. Each may be repeated without changing its results.

    Args:
        execution: the ARN of the workflow's execution. Its name is also the name of the backfill's folder in the lake.

    Raises:
        SourceUnreachable, SourceBusy, SourceLagging, LakeUnavailable, BatchContended: worth another try.
        ContractViolation: totesys is not as declared; a backfill quarantines nothing.
        BackfillOutdated: the plan no longer fits totesys or the landing zone.
        AccessDenied, DatabaseFailed, LogBroken, CorruptObject, ObjectMissing, VersionUnknown, DiskFull: see
            totes.errors.
    """

    def __init__(self, settings: BackfillSettings, execution: str) -> None:
        self._credentials = read_credentials(settings.source_secret)
        if weak := weakness(self._credentials):
            logger.warning(weak)
        self._execution = execution
        self._landing = Lake(settings.landing_bucket)
        self._log = BatchLog(self._landing)
        self._folder = f"backfill/{execution.rpartition(':')[2]}"

    def plan(self, request: BackfillRequest) -> dict[str, Any]:
        """Reads the tables that are not worth dividing, and divides the others into ranges.

        Returns:
            where the lists of ranges and batches lie, for the workflow's Maps.
        """
        if self._landing.read(self._key("plan")) is None:
            self._landing.add_json(self._key("plan"), self._made(request.rows).as_json())
        plan = self._plan()
        lists = {
            "dimensions": [asdict(part) for part in plan.of_facts(False)],
            "facts": [asdict(part) for part in plan.of_facts(True)],
            "batches": list(range(plan.first, plan.last + 1)),
        }
        for name, items in lists.items():
            self._landing.add_json(self._key(name), items)
        logger.info("planned", first=plan.first, last=plan.last)
        return {
            "bucket": self._landing.bucket,
            **{name: self._key(name) for name in lists},
            "any_dimension": bool(lists["dimensions"]),
            "concurrency": request.concurrency,
            "first": plan.first,
            "last": plan.last,
        }

    def read(self, part: Range) -> dict[str, Any]:
        """Lands a range's rows and keys. The manifest follows in `land`."""
        key = self._draft(part.batch)
        if self._landing.read(key) is None:
            with about(batch=part.batch, table=part.table), scratch() as folder:
                parts = self._read(part, self._plan(), folder)
                self._landing.add_json(key, {name: stored.as_json() for name, stored in parts.items()})
        return {"batch": part.batch, "table": part.table, "rows": self._drafted(part.batch)["data"].rows}

    def land(self) -> dict[str, Any]:
        """Commits all batches, in order.

        All manifests except the last repeat the fence, columns and keys of the batch before the backfill. So if this
        stops halfway, the next execution of the pipeline reads the rows that the backfill has not landed.

        Raises:
            BackfillOutdated: another execution has landed a batch since the plan was made.
        """
        plan = self._plan()
        last = self._log.last()
        for manifest in self._manifests(plan):
            if manifest.batch > last:
                self._log.commit(manifest)
            elif self._log.read(manifest.batch).execution != self._execution:
                raise _outdated(f"another execution has landed batch {manifest.batch} meanwhile")
        return {"first": plan.first, "last": plan.last}

    def _made(self, rows: int) -> Plan:
        first = self._log.last() + 1
        previous = self._log.read(first - 1) if first > 1 else None
        with (
            connected(TOTESYS, self._credentials, "totes-backfill") as connection,
            snapshot(connection) as taken,
            scratch() as folder,
        ):
            ranges = tuple(divided(taken.extents(dividable()), first + 1, rows))
            in_ranges = {part.table for part in ranges}
            tables = {
                name: self._read_whole(table, taken, first, folder)
                for name, table in source_tables().items()
                if name not in in_ranges
            }
            return Plan(
                first=first,
                snapshot_at=moment_after(previous, taken.taken_at),
                # The ranges are read later, and the WAL of their rows may not be flushed by then.
                source=replace(durable_position(connection, taken, previous), flushed=False),
                structure=structure_of(taken.catalogue),
                tables=tables,
                ranges=ranges,
            )

    def _read_whole(self, table: SourceTable, taken: Snapshot, batch: int, folder: Path) -> Parts:
        path = folder / table.name
        with about(table=table.name):
            everything = dict.fromkeys(source_tables(), Window(None))
            return self._added(table, batch, path, extract(taken, table, everything, path, {}))

    def _read(self, part: Range, plan: Plan, folder: Path) -> Parts:
        table = source_tables()[part.table]
        older_than = plan.source.xmin if part.table in fact_sources() else None
        with (
            connected(TOTESYS, self._credentials, "totes-backfill") as connection,
            snapshot(connection, [table.name]) as taken,
        ):
            if reason := reason_to_read_all(plan.source, taken.position):
                raise _outdated(reason)
            if relations_to_read(plan.structure[table.name], taken.catalogue[table.name]):
                raise _outdated(f"the structure of {table.name} in totesys has changed")
            read = extract_range(taken, table, (part.low, part.high), older_than, folder / "data")
        return self._added(table, part.batch, folder / "data", read)

    def _added(self, table: SourceTable, batch: int, path: Path, read: Extracted) -> Parts:
        if read.quarantined:
            raise ContractViolation(
                f"totesys holds what schemas/source/{table.name}.toml does not allow, as where {table.key} is "
                f"{read.quarantined[0].business_id}: {read.quarantined[0].reason}. A backfill quarantines nothing.",
                "Correct the rows in totesys and redrive the execution, or change the declaration, deploy and start "
                "another backfill.",
            )
        logger.info("read", rows=read.rows)
        return {
            "data": self._landing.add(path, f"data/{table.name}/batch={batch:08d}", read.rows),
            "keys": self._add_keys(table, batch, path.with_suffix(".keys"), read.keys),
        }

    def _manifests(self, plan: Plan) -> Iterator[Manifest]:
        previous = self._log.read(plan.first - 1) if plan.first > 1 else None
        before = {name: _lasting(previous.tables.get(name, {}) if previous else {}) for name in source_tables()}
        brought = {plan.first: plan.tables} | {
            part.batch: {part.table: self._drafted(part.batch)} for part in plan.ranges
        }
        for batch, parts_of in brought.items():
            manifest = Manifest(
                batch=batch,
                snapshot_at=plan.snapshot_at,
                execution=self._execution,
                made_at=datetime.now(UTC),
                # Without keys, the fence explains no row, so the next execution reads the table in full.
                source=previous.source if previous else plan.source,
                columns=previous.columns if previous else source_columns(),
                structure=previous.structure if previous else plan.structure,
                full_read=dict.fromkeys(parts_of, BACKFILL),
                tables={
                    name: parts | ({"data": parts_of[name]["data"]} if name in parts_of else {})
                    for name, parts in before.items()
                },
            )
            yield manifest if batch < plan.last else self._closing(manifest, plan, [before, *brought.values()])

    def _closing(self, manifest: Manifest, plan: Plan, all_parts: list[Mapping[str, Parts]]) -> Manifest:
        """Returns the last manifest: with the plan's fence, all declared columns, and all keys, including earlier ones.

        The next execution finds the keys that are gone, as every run does.
        """
        tables = {
            name: {
                **parts,
                "keys": self._sorted_union(
                    name, plan.last, [of[name]["keys"] for of in all_parts if "keys" in of.get(name, {})]
                ),
            }
            for name, parts in manifest.tables.items()
        }
        return replace(manifest, source=plan.source, columns=source_columns(), structure=plan.structure, tables=tables)

    def _sorted_union(self, name: str, batch: int, objects: Iterable[StoredObject]) -> StoredObject:
        table = source_tables()[name]
        with scratch() as folder:
            keys = Keys(folder, keys_schema(table).types[0])
            for number, stored in enumerate(objects):
                for rows in batches(self._landing.fetch(stored, folder / str(number))):
                    keys.add(rows.column(0))
            return self._add_keys(table, batch, folder / "keys", keys.distinct())

    def _add_keys(self, table: SourceTable, batch: int, path: Path, keys: Keys) -> StoredObject:
        write_keys(path, keys, keys_schema(table))
        return self._landing.add(path, f"keys/{table.name}/batch={batch:08d}", len(keys))

    def _plan(self) -> Plan:
        document = self._document(self._key("plan"))
        if "structure" not in document:
            raise _outdated("an earlier release made it")
        return parse_plan(document)

    def _drafted(self, batch: int) -> Parts:
        return parse_parts(self._document(self._draft(batch)))

    def _document(self, key: str) -> Any:
        text = self._landing.read(key)
        if text is None:
            raise LogBroken(
                f"s3://{self._landing.bucket}/{key} is missing.",
                "Restore it in S3 (the buckets are versioned) and redrive the execution, or start another backfill.",
            )
        return json.loads(text)

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}.json"

    def _draft(self, batch: int) -> str:
        return self._key(f"batch={batch:08d}")


def _lasting(parts: Parts) -> dict[str, StoredObject]:
    """Returns the objects of a table that also hold for the next manifest."""
    return {name: stored for name, stored in parts.items() if name in ("keys", "aside")}


def _outdated(reason: str) -> BackfillOutdated:
    return BackfillOutdated(
        f"The backfill's plan does not fit any more: {reason}.",
        "Pause the schedule with `totes pause`, wait for the execution that runs, and start another backfill.",
    )
