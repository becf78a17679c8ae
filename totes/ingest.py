"""Ingest: lands the changes of totesys since the batch before as the next batch of the landing zone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from totes.contracts.declarations import source_columns
from totes.contracts.requests import Request
from totes.errors import RESTORE, SHOWN, LogBroken
from totes.lake.batch_log import BatchLog, ends, entry
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest, moment_after
from totes.lake.read_ahead import worth_saying
from totes.lake.side_by_side import SideBySide
from totes.postgres.catalogue import structure_of
from totes.postgres.connection import TOTESYS, connected
from totes.postgres.position import SourcePosition
from totes.postgres.tls import weakness
from totes.runtime.log import logger
from totes.runtime.scratch import scratch
from totes.runtime.secrets import read_credentials
from totes.runtime.settings import IngestSettings
from totes.source.changes import Change, read_change, write_change
from totes.source.decisions import ASKED_FOR, UPGRADED
from totes.source.deletions import require_accepted
from totes.source.fence import EXPECTED
from totes.source.flush import durable_position
from totes.source.snapshot import Snapshot, snapshot

_MOMENT = "%Y-%m-%d %H:%M:%S UTC"


@dataclass(frozen=True)
class Ingested:
    """The result of a run of Ingest.

    Attributes:
        batch: the batch that it landed; None if nothing was new.
        rows: how many rows it landed, by table.
        deleted: how many landed keys are gone, by table.
        full_read: the tables that it read in full, each with the reason.
        undeclared: columns of totesys that no contract declares, by table.
        quarantined: how many rows are quarantined now, by table.
        ahead: how many landed rows have a timestamp in the future, and the latest one, by table.
        unlogged: the tables whose rows do not survive a crash of totesys.
        clock_back: the times of totesys' clock at the last batch and now, if it went back; else empty.
        landed_through: the last batch of the landing zone.
        processed_through: the last batch of the processed zone.
        objects: what Transform reads of the batch, if that is the next one for it; nothing if that is much.
    """

    batch: int | None
    rows: Mapping[str, int]
    deleted: Mapping[str, int]
    full_read: Mapping[str, str]
    undeclared: Mapping[str, list[str]]
    quarantined: Mapping[str, int]
    ahead: Mapping[str, tuple[int, datetime]]
    unlogged: list[str]
    clock_back: str
    landed_through: int
    processed_through: int
    objects: list[StoredObject]

    @property
    def new_data(self) -> bool:
        """Returns whether Transform has anything to do."""
        return self.landed_through > self.processed_through

    @property
    def warnings(self) -> list[str]:
        """Returns the warnings of a run that succeeds: at most one line for each table and kind."""
        return [
            *(
                f"{table} has columns that no contract declares: {_some(names)}"
                for table, names in self.undeclared.items()
            ),
            *(
                f"{table} was read in full: {reason}"
                for table, reason in self.full_read.items()
                if reason not in EXPECTED | {ASKED_FOR, UPGRADED}
            ),
            *(
                f"{table} has {_rows(rows, 'that is', 'that are')} quarantined: see etl.quarantine"
                for table, rows in self.quarantined.items()
            ),
            *(
                f"{table} has {_rows(rows, 'that is', 'that are')} stamped with a time to come, up to {latest}"
                for table, (rows, latest) in self.ahead.items()
            ),
            *(f"{table} is unlogged: a crash of totesys empties it" for table in self.unlogged),
            *([f"the clock of totesys went back: {self.clock_back}"] if self.clock_back else []),
        ]


def ingest(settings: IngestSettings, request: Request) -> Ingested:
    """Lands the next batch, if anything is new.

    Raises:
        SourceUnreachable, SourceBusy, SourceLagging, LakeUnavailable, BatchContended: worth another try.
        ContractViolation: totesys is not as declared. Nothing was landed.
        DeletionsHeld: too many rows are gone. Nothing was landed.
        AccessDenied, DatabaseFailed, LogBroken, CorruptObject, ObjectMissing, VersionUnknown, DiskFull: see
            totes.errors.
    """
    landing, processed = Lake(settings.landing_bucket), Lake(settings.processed_bucket)
    log = BatchLog(landing)
    # The log is read before the snapshot is taken, so a batch that is committed in between collides with ours. In the
    # other order, an older snapshot could follow a newer one.
    with SideBySide() as threads:
        reading = threads.submit(read_credentials, settings.source_secret)
        previous, processed_through = ends(log, BatchLog(processed))
    last = previous.batch if previous else 0
    if processed_through > last:
        raise LogBroken(
            f"s3://{landing.bucket}/{entry(last + 1)} is missing, though the processed zone has the batch.",
            RESTORE,
        )
    logger.append_keys(batch=last + 1)
    credentials = reading.result()
    if weak := weakness(credentials):
        logger.warning(weak)
    with scratch() as folder:
        with connected(TOTESYS, credentials, "totes-ingest") as connection, snapshot(connection) as taken:
            change = read_change(taken, previous, request.full_read, landing, folder)
            same_source = previous is None or taken.position.is_same_source(previous.source)
            require_accepted(change.gone, same_source, request.accept_deletions)
            position = durable_position(connection, taken, previous) if change.is_new else None
        manifest = None
        if position:
            manifest = _manifest(change, taken, position, previous, request, landing)
            log.commit(manifest)
    return Ingested(
        batch=manifest.batch if manifest else None,
        rows=change.rows("data") if change.is_new else {},
        deleted=change.rows("deleted") if change.is_new else {},
        full_read=change.full_read,
        undeclared=taken.undeclared,
        quarantined=change.quarantined,
        ahead=change.ahead if change.is_new else {},
        unlogged=taken.unlogged,
        clock_back=_clock_back(taken, previous),
        landed_through=manifest.batch if manifest else last,
        processed_through=processed_through,
        objects=worth_saying(manifest) if manifest and manifest.batch == processed_through + 1 else [],
    )


def _clock_back(taken: Snapshot, previous: Manifest | None) -> str:
    if previous is None or taken.taken_at >= previous.snapshot_at:
        return ""
    return f"from {previous.snapshot_at:{_MOMENT}} at the last batch to {taken.taken_at:{_MOMENT}} now"


def _manifest(
    change: Change,
    taken: Snapshot,
    position: SourcePosition,
    previous: Manifest | None,
    request: Request,
    landing: Lake,
) -> Manifest:
    batch = previous.batch + 1 if previous else 1
    return Manifest(
        batch=batch,
        snapshot_at=moment_after(previous, taken.taken_at),
        execution=request.execution,
        made_at=datetime.now(UTC),
        source=position,
        columns=source_columns(),
        structure=structure_of(taken.catalogue),
        full_read=change.full_read,
        tables=write_change(change, previous, landing, batch),
    )


def _rows(number: int, one: str, several: str) -> str:
    return f"1 row {one}" if number == 1 else f"{number:,} rows {several}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
