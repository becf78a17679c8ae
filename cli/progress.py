"""Reads how far each of the three logs is, and how fresh the warehouse is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cli.deployment import WarehouseEmpty, warehouse
from cli.errors import one_line
from cli.render.executions import count_without_calendar
from totes.alerts.executions import SUCCEEDED, Execution, describe, latest, stood_aside
from totes.contracts.declarations import calendars
from totes.errors import TotesError
from totes.lake.batch_log import BatchLog
from totes.lake.bucket import Lake

if TYPE_CHECKING:
    from totes.runtime.names import Names

# Freshness as promised to the business: every change reaches the warehouse within this time.
PROMISE = timedelta(minutes=30)
# About a day's executions at the usual rate. All of them may have left their batches to one that is catching up.
_LOOKED_AT = 300

_LOADED = (
    "SELECT batch_id, loaded_at, snapshot_at,"
    " COALESCE(SUM(rows_inserted + rows_updated) FILTER (WHERE table_name <> ALL(CAST(:calendars AS text[]))), 0)"
    " AS rows"
    " FROM etl.batch LEFT JOIN etl.batch_table USING (batch_id)"
    " GROUP BY batch_id, loaded_at, snapshot_at ORDER BY batch_id DESC LIMIT 1"
)
# The last batch that changed each table.
_CHANGED = (
    "SELECT DISTINCT ON (table_name) table_name AS table, batch_id AS batch, snapshot_at,"
    " rows_inserted + rows_updated + rows_deleted AS rows"
    " FROM etl.batch_table JOIN etl.batch USING (batch_id)"
    " WHERE rows_inserted + rows_updated + rows_deleted > 0 ORDER BY table_name, batch_id DESC"
)


@dataclass(frozen=True)
class TableChange:
    """The last batch that changed a warehouse table, its snapshot's time, and how many rows it changed."""

    table: str
    batch: int
    snapshot_at: datetime
    rows: int


@dataclass(frozen=True)
class LogHead:
    """The last batch of one log; batch 0 if the log is empty.

    Attributes:
        done_at: when the batch was committed to this log.
        snapshot_at: when the batch's snapshot of totesys was taken.
        rows: how many rows the batch moved, without the calendar: every batch adds whole years to that.
        trouble: why the log can't be read. The batch is then the last one that a successful execution found loaded.
    """

    log: str
    batch: int = 0
    done_at: datetime | None = None
    snapshot_at: datetime | None = None
    rows: int | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class Freshness:
    """The time as of which the warehouse shows totesys.

    It is the start of the last successful execution, or the last snapshot if that is later. An execution that finds
    nothing new loads no batch, but it proves that the warehouse was up to date when it started.
    """

    as_of: datetime | None
    age: timedelta | None

    @property
    def kept(self) -> bool:
        """Returns whether the promise is kept."""
        return self.age is not None and self.age <= PROMISE

    def as_document(self) -> dict[str, Any]:
        seconds = None if self.age is None else self.age.total_seconds()
        return {
            "as_of": self.as_of,
            "age_seconds": seconds,
            "promise_seconds": PROMISE.total_seconds(),
            "kept": self.kept,
        }


def read_logs(names: "Names") -> list[LogHead]:
    """Returns the heads of the three logs, in the order in which a batch passes them.

    If the warehouse can't be read, its head says why. The other two heads matter most at that time.

    Raises:
        LakeUnavailable, LogBroken, CorruptObject, AccessDenied: a zone's log can't be read.
    """
    return [
        _zone("landed", names.landing_bucket),
        _zone("processed", names.processed_bucket),
        _loaded(names),
    ]


def last_changes(names: "Names") -> list[TableChange]:
    """Returns each table's last change, ordered by the table's name. Skips tables that never changed.

    Raises:
        WarehouseEmpty: no batch has been loaded yet.
        WarehouseUnreachable, AccessDenied: the connection failed.
    """
    with warehouse(names) as connection:
        return [TableChange(**row) for row in connection.execute(_CHANGED).mappings()]


def last_success(names: "Names") -> Execution | None:
    """Returns the newest execution that SUCCEEDED and left no batch to another execution that is catching up."""
    succeeded = latest(names, _LOOKED_AT, SUCCEEDED)
    return next((found for found in succeeded if not stood_aside(describe(found.arn).output)), None)


def freshness(logs: Sequence[LogHead], success: Execution | None, now: datetime) -> Freshness:
    """Returns the warehouse's freshness at `now`. If it can't be read, uses its last known state."""
    loaded = logs[-1]
    moments = [moment for moment in (loaded.snapshot_at, success.started if success else None) if moment]
    if not loaded.batch or not moments:
        return Freshness(None, None)
    as_of = max(moments).astimezone(UTC)
    return Freshness(as_of, now - as_of)


def _zone(log: str, bucket: str) -> LogHead:
    manifest = BatchLog(Lake(bucket)).newest()
    if manifest is None:
        return LogHead(log)
    return LogHead(log, manifest.batch, manifest.made_at, manifest.snapshot_at, count_without_calendar(manifest.rows()))


def _loaded(names: "Names") -> LogHead:
    try:
        with warehouse(names) as connection:
            found = connection.execute(_LOADED, {"calendars": calendars()}).one_or_none()
    except WarehouseEmpty:
        found = None
    except TotesError as error:
        return LogHead("loaded", _loaded_when_last_shown(names), trouble=one_line(error))
    if found is None:
        return LogHead("loaded")
    return LogHead("loaded", found.batch_id, found.loaded_at, found.snapshot_at, int(found.rows))


def _loaded_when_last_shown(names: "Names") -> int:
    success = last_success(names)
    load = describe(success.arn).output.get("load", {}) if success else {}
    return int(load.get("loaded_through") or 0)
