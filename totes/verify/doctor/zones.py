"""Checks the lake's zones with a function's rights, and writes nothing there."""

from collections.abc import Callable, Iterator

from totes.errors import LakeUnavailable
from totes.lake.batch_log import BatchLog, entry
from totes.lake.bucket import Lake
from totes.verify.doctor.findings import Finding, of_error, ok

# The remedy if nothing answered in time: it may pass, or there may be no way there at all.
NO_WAY = (
    "Nothing to do unless it lasts. In a VPC, S3 and Secrets Manager need an endpoint each: "
    "docs/deploy.md#databases-in-a-vpc."
)

InZone = Callable[[Lake, int], Finding]


def look_at_zone(bucket: str, *further: InZone) -> Iterator[Finding]:
    """Checks that a zone's log can be read and has no gap. If it has a batch, makes the further checks, too.

    Raises:
        AccessDenied, LogBroken, ObjectMissing, CorruptObject: a check has failed; those after it were not made.
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
    """Checks that the newest batch's rows are there and may be read."""
    tables = BatchLog(lake).read(last).tables.values()
    keys = [parts["data"].key for parts in tables if "data" in parts]
    for key in keys:
        lake.require(key)
    return ok("objects", f"The newest batch's {len(keys)} files are in {lake.bucket}, and may be read.")


def writing(lake: Lake, last: int) -> Finding:
    """Checks that objects may be put. It puts one under a key that is taken: S3 refuses that, and nothing changes."""
    lake.try_to_add(entry(last))
    return ok("writing", f"Objects may be put into {lake.bucket}; none was.")
