"""Patches that are there while somebody listens to what goes over a wire."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

Listener = TypeVar("Listener")


class Tap(Generic[Listener]):
    """Who listens to a wire, and what is patched for as long as anybody does."""

    def __init__(self, *patches: Callable[[], AbstractContextManager[object]]) -> None:
        self._patches = patches
        self._patched = ExitStack()
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    @property
    def listeners(self) -> list[Listener]:
        """Returns those who listen now, in the order in which they came."""
        return list(self._listeners)

    @contextmanager
    def heard_by(self, listener: Listener) -> Iterator[None]:
        """Has somebody listen for as long as the block lasts."""
        with self._lock:
            if not self._listeners:
                for patch in self._patches:
                    self._patched.enter_context(patch())
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)
                if not self._listeners:
                    self._patched.close()
