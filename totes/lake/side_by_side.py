"""Sends requests side by side: a batch's objects are independent, and a request mostly waits for the network."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from totes.lake.bucket import Lake, StoredObject


class SideBySide(ThreadPoolExecutor):
    """Runs up to 64 calls at the same time, about as many as a batch has objects. The block's end waits for them."""

    def __init__(self) -> None:
        super().__init__(max_workers=64)


class Downloads:
    """Downloads objects into a folder, each once, while the caller does something else.

    The block's end waits for running downloads, and cancels those that have not begun.
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
            ObjectMissing, CorruptObject: as Lake.fetch raises them.
        """
        self.begin([stored])
        return self._files[stored.key].result()
