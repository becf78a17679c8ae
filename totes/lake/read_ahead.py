"""Begins to read a batch's objects before its manifest is read: the stage before has said which ones there are."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from totes.errors import TotesError
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest
from totes.lake.side_by_side import SideBySide

if TYPE_CHECKING:
    from concurrent.futures import Future

# Larger batches take so long that a request more does not matter. All of it stands in the execution's history.
_MOST_OBJECTS, _MOST_BYTES = 40, 1 << 20


def worth_saying(manifest: Manifest) -> list[StoredObject]:
    """Returns the objects of a batch that the next stage reads; nothing if they are many or large, or of a backfill."""
    objects = [stored for parts in manifest.tables.values() for part, stored in parts.items() if part != "keys"]
    is_small = len(objects) <= _MOST_OBJECTS and sum(stored.bytes for stored in objects) <= _MOST_BYTES
    return objects if is_small and not manifest.is_of_backfill else []


class ReadAhead(Lake):
    """A bucket that has begun to read some small objects, so it returns them sooner.

    Which objects is a mere hint: an object that was not read ahead, or not as it should be, is read as usual. The
    block's end waits for requests that are running.

    Args:
        objects: the fields of the objects to read.
    """

    def __init__(self, bucket: str, objects: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(bucket)
        self._threads = SideBySide()
        self._coming: dict[StoredObject, Future[bytes | None]] = {
            stored: self._threads.submit(self._read_quietly, stored.key)
            for stored in (StoredObject(**fields) for fields in objects)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def fetch(self, stored: StoredObject, path: Path) -> Path:
        body = self._coming[stored].result() if stored in self._coming else None
        if body is None or sha256(body).hexdigest() != stored.sha256:
            return super().fetch(stored, path)
        path.write_bytes(body)
        return path

    def _read_quietly(self, key: str) -> bytes | None:
        try:
            return self.read(key)
        except TotesError:
            return None
