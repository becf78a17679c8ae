"""The position of totesys at a snapshot, as a manifest keeps it."""

from dataclasses import dataclass

_LONGEST_PAGE_HEADER = 40


@dataclass(frozen=True)
class SourcePosition:
    """The position of totesys at a snapshot. A value is None if the server lacks it or the user can't read it.

    Attributes:
        system: the cluster's system identifier.
        timeline: the cluster's timeline, which rises when it is restored from a backup or promoted.
        database: the database's object id.
        xmin: the snapshot's oldest running transaction id, 64 bits.
        xmax: the first transaction id that had not been given out.
        started_at: when the primary was started, ISO 8601. A standby does not know it.
        recovered_at: when the server last recovered from a crash, or when its statistics were reset, ISO 8601.
        lsn: the end of the write-ahead log, for instance `16/B374D848`. On a standby it is the end of the log that the
            standby had replayed: before the snapshot, or in a manifest, after it.
        in_recovery: whether the server is a standby.
        flushed: whether the server had flushed its write-ahead log past the snapshot before the batch was committed.
        fence: the transaction id from which the next batch reads: xmin, or the earlier fence if neither a flush nor a
            crash can be seen; None if there is none.
    """

    system: str | None
    timeline: int | None
    database: int
    xmin: int
    xmax: int
    started_at: str | None = None
    recovered_at: str | None = None
    lsn: str | None = None
    in_recovery: bool = False
    flushed: bool = True
    fence: int | None = None

    def is_same_source(self, other: "SourcePosition") -> bool:
        """Returns whether both are the same database of the same cluster, as far as that can be determined."""
        known = None not in (self.system, other.system)
        return self.database == other.database and (not known or self.system == other.system)


def reaches(lsn: str, end: str) -> bool:
    """Returns whether the write-ahead log up to `lsn` has all records that end before `end`.

    After a page's last record, `end` lies after the next page's header. PostgreSQL neither flushes that header nor
    sends it to a standby before a record follows it. No page is smaller than 1,024 bytes.
    """
    there = _bytes(lsn)
    missing = _bytes(end) - there
    return missing <= 0 or (missing <= _LONGEST_PAGE_HEADER and there % 1_024 == 0)


def _bytes(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
