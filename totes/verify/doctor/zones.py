"""Looks at the zones of the lake with a function's rights, and leaves no trace there."""

from collections.abc import Callable, Iterator

from totes.errors import LakeUnavailable
from totes.lake.batch_log import BatchLog, entry
from totes.lake.bucket import Lake
from totes.verify.doctor.findings import Finding, of_error, ok

# Nothing answered in time: it may pass, or there is no way at all.
NO_WAY = (
    "Nothing to do unless it lasts. In a VPC, S3 and Secrets Manager need an endpoint each: "
    "docs/deploy.md#databases-in-a-vpc."
)

InZone = Callable[[Lake, int], Finding]


def look_at_zone(bucket: str, *further: InZone) -> Iterator[Finding]:
    """Looks whether a zone's log can be read and has no gap; if it has a batch, also what else is asked.

    Raises:
        AccessDenied, LogBroken, ObjectMissing, CorruptObject: that is what was found; nothing further was looked at.
    """
    lake = Lake(bucket)
    try:
        last = BatchLog(lake).last()
        yield ok("log", f"The log of {bucket} can be read: {f'it ends with batch {last}' if last else 'it is empty'}.")
        for look in further if last else ():
            yield look(lake, last)
    except LakeUnavailable as error:
        yield of_error(error, NO_WAY)


def newest_objects(lake: Lake, last: int) -> Finding:
    """Looks whether the rows of the newest batch are there and may be read."""
    tables = BatchLog(lake).read(last).tables.values()
    keys = [parts["data"].key for parts in tables if "data" in parts]
    for key in keys:
        lake.require(key)
    return ok("objects", f"The newest batch's {len(keys)} files are in {lake.bucket}, and may be read.")


def writing(lake: Lake, last: int) -> Finding:
    """Looks whether objects may be put: S3 refuses one that is there as taken, and nothing changes."""
    lake.try_to_add(entry(last))
    return ok("writing", f"Objects may be put into {lake.bucket}; none was.")
