"""The fence: which rows of totesys are new, by PostgreSQL's own account of it.

Each row version bears in `xmin` the id of the transaction that wrote it. A snapshot's xmin, the fence, is the oldest
id that was still running when the snapshot was taken. Whatever the snapshot could not see was, or will be, written by
an id at or above the fence; so the rows to read next are those whose `xmin` is not older than it. Rows come again
while an old transaction keeps the fence where it is, and nothing is ever missed.
"""

from dataclasses import dataclass

# Row versions bear the low 32 bits of the 64-bit ids; two of them can be compared while fewer than 2^31 lie between.
COMPARABLE = 1 << 31
_LOW_32_BITS = (1 << 32) - 1
FIRST_BATCH = "first batch"


@dataclass(frozen=True)
class SourcePosition:
    """Where totesys stood when a snapshot was taken.

    Attributes:
        system: the cluster's system identifier; None where the user may not ask for it.
        timeline: rises when the cluster is restored from a backup or promoted; None likewise.
        database: the database's object id.
        xmin: the snapshot's oldest running transaction id, 64 bits.
        xmax: the first id that had not been given out.
    """

    system: str | None
    timeline: int | None
    database: int
    xmin: int
    xmax: int


def reason_to_read_all(before: SourcePosition | None, now: SourcePosition) -> str | None:
    """Why the fence of the batch before can't be used; None where it can."""
    if before is None:
        return FIRST_BATCH
    if (before.system, before.timeline, before.database) != (now.system, now.timeline, now.database):
        return "totesys was restored or moved"
    if now.xmax < before.xmin:
        return "transaction ids of totesys went backwards"
    if now.xmax - before.xmin >= COMPARABLE:
        return "the last batch is too many transactions ago"
    return None


def is_new(fence: int, row: str) -> str:
    """SQL that is true of the rows of `row` (an alias) that are not older than the fence.

    Both ages are counted back from one moment of the transaction, in 32 bits that wrap around, so they compare
    rightly on both sides of a wrap-around. A row frozen more than 2^31 transactions ago may seem new: it is read once
    more than needed.
    """
    return f"pg_catalog.age({row}.xmin) <= pg_catalog.age(CAST('{fence & _LOW_32_BITS}' AS pg_catalog.xid))"
