"""A zone's log: the batches that it has finished.

A batch is in the log if its manifest lies at `log/<batch>.json`. Nothing reads files without a manifest. The reader
finds the log's end by walking forward from a hint, which may be stale, wrong or gone. The hint is what the caller
knows, else what this process remembers, else the object HINT.
"""

import json
import re
from collections.abc import Collection

from totes.errors import BatchContended, LogBroken
from totes.lake.bucket import Lake
from totes.lake.manifest import Manifest, parse_manifest
from totes.lake.side_by_side import SideBySide

FOLDER = "log/"
HINT = "log/_latest.json"
_ENTRY = re.compile(r"log/(\d{8})\.json")
# By bucket: the last batch that this process has found or committed. A warm function need not read the hint.
_REMEMBERED: dict[str, int] = {}


def entry(batch: int) -> str:
    """Returns the key of a batch's manifest."""
    return f"{FOLDER}{batch:08d}.json"


class BatchLog:
    """The log of one zone.

    Args:
        known: a batch that the caller knows to be in the log.
    """

    def __init__(self, lake: Lake, known: int = 0) -> None:
        self._lake = lake
        # The last batch that was found. The next walk starts there.
        self._found = known
        # Manifests that were read ahead.
        self._ahead: dict[int, Manifest] = {}

    def last(self) -> int:
        """Returns the number of the last batch; 0 if there is none.

        Raises:
            LogBroken: a batch is missing between two others.
        """
        hint = self._known()
        return self._last(hint, self._from(hint))

    def newest(self) -> Manifest | None:
        """Returns the manifest of the last batch; None if there is none.

        Raises:
            LogBroken: a batch is missing between two others.
        """
        hint = self._known()
        with SideBySide() as threads:
            hinted = threads.submit(self._lake.read, entry(hint)) if hint else None
            batches = self._from(hint)
        last = self._last(hint, batches)
        if hinted and last == hint and (text := hinted.result()):
            self._ahead[last] = parse_manifest(text, self._where(entry(last)))
        return self.read(last) if last else None

    def _last(self, hint: int, batches: list[int]) -> int:
        """Returns the last of the batches that were found from a hint on; if the hint is wrong, walks from batch 1."""
        first = _before(hint)
        if hint and (not batches or batches[0] != first):
            first, batches = 1, self._from(1)
        for expected, found in enumerate(batches, start=first):
            if found != expected:
                raise LogBroken(
                    f"{self._where(entry(expected))} is missing, though batch {found} is there.",
                    "Restore it in S3 (the buckets are versioned). If somebody has copied the batches after it there, "
                    "remove those instead. The next execution then resumes.",
                )
        self._found = _REMEMBERED[self._lake.bucket] = batches[-1] if batches else 0
        return self._found

    def read(self, batch: int) -> Manifest:
        """Returns a batch's manifest.

        Raises:
            LogBroken: there is no such batch.
        """
        if batch in self._ahead:
            return self._ahead[batch]
        key = entry(batch)
        text = self._lake.read(key)
        if text is None:
            raise LogBroken(
                f"{self._where(key)} is missing.",
                "Restore it in S3 (the buckets are versioned); the next execution then resumes. If it was never there, "
                "the warehouse or the bucket is another stage's.",
            )
        return parse_manifest(text, self._where(key))

    def read_together(self, batches: Collection[int]) -> list[Manifest]:
        """Returns the manifests of some batches, and keeps them, so that the next call need not read them again.

        Raises:
            LogBroken: a batch is missing.
        """
        with SideBySide() as threads:
            coming = {batch: threads.submit(self.read, batch) for batch in batches}
        self._ahead = {batch: manifest.result() for batch, manifest in coming.items()}
        return [*self._ahead.values()]

    def commit(self, manifest: Manifest, *, hint: bool = True) -> None:
        """Commits a batch by writing its manifest, which nothing overwrites.

        Args:
            hint: whether to record that the log ends here. Only some of many batches in a row need it, because a reader
                continues from the hint, 1,000 batches a request.

        Raises:
            BatchContended: another execution has committed this number in the meantime.
        """
        with SideBySide() as threads:
            # If only the hint arrives, it names the batch after the last one. A reader copes with that at no cost.
            if hint:
                noted = threads.submit(self._lake.replace_hint, HINT, {"batch": manifest.batch})
            committed = self._lake.add_json(entry(manifest.batch), manifest.as_json())
        _REMEMBERED[self._lake.bucket] = manifest.batch
        if not committed:
            raise BatchContended(
                f"Batch {manifest.batch} of s3://{self._lake.bucket} was committed by another execution meanwhile.",
                "Nothing to do: the next attempt or execution starts with the batch after it.",
            )
        if hint:
            noted.result()

    def _where(self, key: str) -> str:
        return f"s3://{self._lake.bucket}/{key}"

    def _known(self) -> int:
        """Returns the batch from which to look for the end; 0 if nothing names one."""
        return self._found or _REMEMBERED.get(self._lake.bucket, 0) or self._hint()

    def _hint(self) -> int:
        text = self._lake.read(HINT)
        try:
            batch = json.loads(text or b"{}")["batch"]
        except (ValueError, LookupError, TypeError):
            return 0
        return batch if isinstance(batch, int) and batch > 0 else 0

    def _from(self, batch: int) -> list[int]:
        """Returns the batches of the log, from the one before a hinted batch on."""
        keys = self._lake.keys(FOLDER, after=entry(_before(batch) - 1))
        return [int(match[1]) for key in keys if (match := _ENTRY.fullmatch(key))]


def _before(hint: int) -> int:
    """Returns where to start walking a log: at the batch before the hinted one, which may not be committed yet."""
    return max(hint - 1, 1)


def batch_of(manifest: Manifest | None) -> int:
    """Returns the batch's number; 0 if there is no batch."""
    return manifest.batch if manifest else 0


def ends(landed: BatchLog, processed: BatchLog) -> tuple[Manifest | None, int]:
    """Returns the last landed batch's manifest, if there is one, and the number of the last processed batch.

    Raises:
        LogBroken: a batch is missing between two others.
    """
    with SideBySide() as threads:
        newest, last = threads.submit(landed.newest), threads.submit(processed.last)
    manifest, through = newest.result(), last.result()
    if through > batch_of(manifest):
        # Another execution may have landed and processed a batch after this one read the landing zone's log.
        manifest = landed.newest()
    return manifest, through
