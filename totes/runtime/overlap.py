"""Runs work in a thread beside the caller's: Arrow, files and sockets release Python's lock while they work."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

_Item = TypeVar("_Item")
_END = object()


def ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yields items. A thread makes each one while the caller uses the one before."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as thread:
        coming: Future[Any] = thread.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, iterator, _END)
            yield item


class Behind:
    """Runs calls in a thread, one after another, while the caller prepares the next one.

    At most one call is unfinished, so prepared data does not pile up. The block's end waits for the last call. If a
    call fails, the next `run` or the block's end raises its error.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._thread.shutdown()
        if not error:
            self.wait()

    def run(self, call: Callable[..., object], *arguments: object) -> None:
        """Starts a call after the one before has ended."""
        self.wait()
        self._last = self._thread.submit(call, *arguments)

    def wait(self) -> None:
        """Waits until the last call has ended."""
        if self._last:
            self._last.result()
