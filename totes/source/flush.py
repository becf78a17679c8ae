"""Checks whether a crash of totesys could undo transactions that a snapshot saw.

A transaction's id is only as durable as its record in the write-ahead log. If a backend crashes before that record is
on disk, the server assigns the same ids again, below the fence. A crash may also undo commits with
`synchronous_commit = off`. So a manifest records whether the server had flushed its log past the snapshot. If it had
not, and it crashes before the next batch, that batch reads everything.
"""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from totes.postgres.driver import PipelineConnection
from totes.postgres.position import SourcePosition, reaches

if TYPE_CHECKING:
    from totes.lake.manifest import Manifest
    from totes.source.snapshot import Snapshot

# The WAL writer flushes a transaction's end at most three of its delays later. If Ingest could not see a crash, it
# waits that long, but never longer than LONGEST_SECONDS.
DELAYS = 3
LONGEST_SECONDS = 30.0
_PAUSE = 0.05
_FLUSHED = (
    "SELECT CAST(pg_catalog.pg_current_wal_flush_lsn() AS text) AS lsn, "
    "(SELECT CAST(setting AS integer) FROM pg_catalog.pg_settings WHERE name = 'wal_writer_delay') AS delay"
)


def durable_position(connection: PipelineConnection, taken: "Snapshot", previous: "Manifest | None") -> SourcePosition:
    """Adds to a snapshot's position whether its WAL is flushed, the next batch's fence, and a standby's start."""
    before = previous.source if previous else None
    position, flushed = taken.position, wait_for_flush(connection, taken)
    if flushed or position.recovered_at:
        fence: int | None = position.xmin
    else:
        fence = before.fence if before else None
    # A standby does not know when its primary was started.
    started_at = position.started_at or (before.started_at if before else None)
    return replace(position, fence=fence, flushed=flushed, started_at=started_at, lsn=taken.end)


def wait_for_flush(connection: PipelineConnection, taken: "Snapshot") -> bool:
    """Returns whether the server has flushed its write-ahead log past a snapshot.

    Waits for the flush only if the next run could not see a crash in between. Otherwise a wait is not worth it: readers
    also write WAL, for instance when they set hint bits, and it may stay unflushed until somebody commits.

    A server that can't be asked counts as flushed. So does a standby, because it replays only flushed records.
    """
    position, flushed = taken.position, taken.flushed
    if position.lsn is None or flushed is None or reaches(flushed, position.lsn):
        return True
    begun = time.monotonic()
    while True:
        row = connection.execute(_FLUSHED).one()
        if reaches(row.lsn, position.lsn):
            return True
        patience = min(DELAYS * row.delay / 1_000, LONGEST_SECONDS) if position.recovered_at is None else 0
        if time.monotonic() - begun >= patience:
            return False
        time.sleep(_PAUSE)
