"""Transform: brings each landed batch that is not processed yet into the warehouse's shape.

The result depends only on the landed batch: the same batch gives the same bytes, whenever and however often it runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from totes.contracts.requests import Request
from totes.errors import BatchContended
from totes.lake.batch_log import BatchLog, batch_of
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest, parse_manifest
from totes.lake.read_ahead import ReadAhead, worth_saying
from totes.lake.side_by_side import SideBySide
from totes.lake.together import Together
from totes.runtime.allowance import UNLIMITED, Allowance
from totes.runtime.log import about
from totes.runtime.settings import TransformSettings

# An execution that catches up moves the hint only once in this many batches: that saves one of a small batch's six
# requests.
_HINTED_AFTER = 100


@dataclass
class Transformed:
    """The result of a run of Transform.

    Attributes:
        first, last: the first and last batch that it processed; both None if there was nothing to do.
        rows: how many rows it wrote, by table of the warehouse.
        processed_through: the last batch of the processed zone.
        more: whether batches are left because the time is up.
        catching_up: the ARN of the execution to which this one leaves the rest.
        objects: what Load reads of the batch, if there is a single one; nothing if that is much.
    """

    processed_through: int
    first: int | None = None
    last: int | None = None
    rows: dict[str, int] = field(default_factory=dict)
    more: bool = False
    catching_up: str | None = None
    objects: list[StoredObject] = field(default_factory=list)

    @property
    def batches(self) -> int:
        return 0 if self.first is None or self.last is None else self.last - self.first + 1

    def add(self, manifest: Manifest) -> None:
        """Adds a batch to the counts."""
        self.first, self.last = self.first or manifest.batch, manifest.batch
        for table, count in manifest.rows().items():
            self.rows[table] = self.rows.get(table, 0) + count
        self.objects = worth_saying(manifest) if self.batches == 1 else []


@dataclass(frozen=True)
class Prepared:
    """A batch with objects in the processed zone, but without a manifest there yet."""

    batch: int
    rows: Mapping[str, int]


def transform(
    settings: TransformSettings, request: Request, allowance: Allowance = UNLIMITED, since: int | None = None
) -> Transformed:
    """Processes all batches that are landed and not yet processed, in order, or as many as there is time for.

    Two executions that process at once both do the same batches, and one of them commits each. When the older one has
    committed two in a row, the younger one leaves the rest to it. When that one reaches the end of the log, it reads
    the end again, so no batch is left behind (ADR 19).

    Args:
        since: the first batch that this execution processed in an earlier pass.

    Raises:
        LakeUnavailable: worth another try; what was finished stays finished.
        AccessDenied, CorruptObject, ObjectMissing, LogBroken, ContractViolation, VersionUnknown, DiskFull: see
            totes.errors.
    """
    # While this reads the logs, it begins to download the batch that Ingest says it has landed.
    with ReadAhead(settings.landing_bucket, request.landed_objects) as landing:
        return _transform(landing, Lake(settings.processed_bucket), request, allowance, since)


def _transform(
    landing: Lake, processed: Lake, request: Request, allowance: Allowance, since: int | None
) -> Transformed:
    landed_log = BatchLog(landing, request.landed_through)
    processed_log = BatchLog(processed, request.processed_through)
    with SideBySide() as threads:
        newest, newest_processed = threads.submit(landed_log.newest), threads.submit(processed_log.newest)
    end, before = batch_of(newest.result()), newest_processed.result()
    done, begun = Transformed(batch_of(before)), False
    # Others leave the rest only to an execution with two batches in a row.
    looks_again = end > done.processed_through + 1 or (before is not None and before.execution == request.execution)
    together = Together(allowance)
    while done.processed_through < end:
        if begun and allowance.is_half_used:
            done.more = True
            break
        begun = True
        pending = range(done.processed_through + 1, end + 1)
        for manifest in together.do(pending, landed_log.read_together, partial(_processed, landing, processed)):
            batch = manifest.batch
            manifest = replace(manifest, execution=request.execution, made_at=datetime.now(UTC))
            committer = _commit(processed_log, manifest, hint=batch == end or batch % _HINTED_AFTER == 0)
            done.processed_through = batch
            if committer == request.execution:
                done.add(manifest)
            elif batch < end and _catches_up(committer, batch, since or done.first, processed_log):
                done.catching_up = committer
                return done
        if done.processed_through == end and looks_again:
            end = landed_log.last()
    return done


def prepare(settings: TransformSettings, batch: int) -> Prepared:
    """Processes one of a backfill's landed batches, in parallel with others. `transform` commits it in its turn.

    Raises:
        LakeUnavailable: worth another try.
        AccessDenied, CorruptObject, ObjectMissing, LogBroken, ContractViolation, VersionUnknown, DiskFull: see
            totes.errors.
    """
    from totes.warehouse.batch_shaper import shape

    landing, processed = Lake(settings.landing_bucket), Lake(settings.processed_bucket)
    with about(batch=batch):
        (manifest,) = shape([BatchLog(landing).read(batch)], landing, processed)
        processed.add_json(_draft(batch), manifest.as_json())
    return Prepared(batch, manifest.rows())


def _processed(landing: Lake, processed: Lake, landed: Sequence[Manifest]) -> list[Manifest]:
    """Writes batches in the warehouse's shape, except for their manifests, unless `prepare` has done it already."""
    if landed[0].is_of_backfill and (draft := processed.read(_draft(landed[0].batch))):
        return [parse_manifest(draft, f"s3://{processed.bucket}/{_draft(landed[0].batch)}")]
    # Imported here because pyarrow takes 0.2 s, and a run that finds nothing new doesn't need it.
    from totes.warehouse.batch_shaper import shape

    return shape(landed, landing, processed)


def _commit(log: BatchLog, manifest: Manifest, *, hint: bool) -> str:
    """Commits a batch, unless another execution has done it; returns the ARN of the one that committed it."""
    try:
        log.commit(manifest, hint=hint)
    except BatchContended:
        return log.read(manifest.batch).execution
    return manifest.execution


def _catches_up(other: str, batch: int, first: int | None, log: BatchLog) -> bool:
    """Returns whether the execution that committed a batch does the rest: it is older, and did the batch before, too.

    Args:
        first: this execution's first batch. The older one committed the batch before that.
    """
    return all(before > 0 and log.read(before).execution == other for before in (batch - 1, (first or batch) - 1))


def _draft(batch: int) -> str:
    return f"backfill/{batch:08d}.json"
