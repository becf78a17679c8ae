"""The fence: which rows of totesys are new, by their transaction ids.

Each row version has in `xmin` the id of the transaction that wrote it. A snapshot's xmin, the fence, is the oldest
id that was still running when the snapshot was taken. A row that the snapshot can't see is written by an id at or above
the fence. So the next batch reads the rows whose `xmin` is not older than the fence. While a long-running transaction
holds the fence back, rows are read again; none is ever missed.

This holds only within one history of transactions. So a position also records the server, when it was started, and
where its write-ahead log ends. ADR 14 has a table of the differences and their consequences.
"""

from totes.errors import SourceLagging
from totes.postgres.position import SourcePosition, reaches

# Row versions hold the low 32 bits of the 64-bit ids. Two of these compare correctly if fewer than 2^31 lie between.
COMPARABLE = 1 << 31
_LOW_32_BITS = (1 << 32) - 1

FIRST_BATCH = "first batch"
RESTARTED = "the server of totesys was restarted"
FAILED_OVER = "totesys failed over to another server"
CRASHED = "the server of totesys crashed and may have lost rows of the last batch"
NOT_FLUSHED = "the last batch has no fence: the write-ahead log was not flushed"
MOVED = "totesys was restored or moved"
WAL_WENT_BACK = "the write-ahead log of totesys went back: totesys was restored to an earlier state"
IDS_WENT_BACK = "transaction ids of totesys went backwards"
TOO_LONG_AGO = "the last batch is too many transactions ago"
# These reasons to read everything are part of normal operation, so they cause no warning.
EXPECTED = frozenset({FIRST_BATCH, RESTARTED, FAILED_OVER, CRASHED, NOT_FLUSHED})


def reason_to_read_all(before: SourcePosition | None, now: SourcePosition) -> str | None:
    """Returns why the fence of the batch before can't be used; None if it can.

    Raises:
        SourceLagging: totesys is a standby that has not replayed all that the batch before saw.
    """
    if before is None:
        return FIRST_BATCH
    if not before.is_same_source(now):
        return MOVED
    if _is_behind(now, before):
        if now.in_recovery:
            raise SourceLagging(
                f"totesys is a standby that has replayed its write-ahead log up to {now.lsn}; the last batch was read "
                f"at {before.lsn}.",
                "Nothing to do unless it lasts: the standby has to catch up. If it can't, because its primary was "
                "restored to an earlier state, start an execution by `totes run` with --full-read for every table.",
            )
        return WAL_WENT_BACK
    if now.xmax < before.xmin:
        return IDS_WENT_BACK
    if None not in (before.timeline, now.timeline) and before.timeline != now.timeline:
        return FAILED_OVER
    if None not in (before.started_at, now.started_at) and before.started_at != now.started_at:
        return RESTARTED
    if not (before.flushed or now.in_recovery) and before.recovered_at != now.recovered_at:
        return CRASHED
    if before.fence is None:
        return NOT_FLUSHED
    if now.xmax - before.fence >= COMPARABLE:
        return TOO_LONG_AGO
    return None


def is_new(fence: int, row: str) -> str:
    """Returns SQL that is true for the rows of the alias `row` that are not older than the fence.

    PostgreSQL counts both ages back from the same id, modulo 2^32, so they compare correctly across a wrap-around. A
    row that was written more than 2^31 transactions ago has a negative age. A row newer than our transaction's own id
    would have a negative age as well, so our transaction must have no id.
    """
    return f"pg_catalog.age({row}.xmin) BETWEEN 0 AND pg_catalog.age(CAST('{fence & _LOW_32_BITS}' AS pg_catalog.xid))"


def _is_behind(now: SourcePosition, before: SourcePosition) -> bool:
    return now.lsn is not None and before.lsn is not None and not reaches(now.lsn, before.lsn)
