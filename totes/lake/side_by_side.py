"""Requests side by side: a batch's objects don't depend on each other, and a request mostly waits for the network."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from totes.lake.bucket import Lake, StoredObject


class SideBySide(ThreadPoolExecutor):
    """Runs calls at the same time, as many as a batch has objects, and has ended all of them when the block ends."""

    def __init__(self) -> None:
        super().__init__(max_workers=64)


class Downloads:
    """Objects on their way into a folder, each once, while the caller does something else.

    Downloads have ended when the block ends; those that had not begun by then don't begin.
    """

    def __init__(self, lake: Lake, folder: Path) -> None:
        self._lake = lake
        self._folder = folder
        self._threads = SideBySide()
        self._files: dict[str, Future[Path]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def begin(self, objects: Iterable[StoredObject]) -> None:
        """Begins to download objects."""
        for stored in objects:
            if stored.key not in self._files:
                path = self._folder / stored.key.replace("/", ".")
                self._files[stored.key] = self._threads.submit(self._lake.fetch, stored, path)

    def file(self, stored: StoredObject) -> Path:
        """Returns an object's file, once it is there.

        Raises:
            ObjectMissing, CorruptObject: see Lake.fetch.
        """
        self.begin([stored])
        return self._files[stored.key].result()
