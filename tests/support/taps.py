"""Patches the senders of a wire while somebody listens to it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

Listener = TypeVar("Listener")


class Tap(Generic[Listener]):
    """The listeners to a wire, and the patches that last while there are any."""

    def __init__(self, *patches: Callable[[], AbstractContextManager[object]]) -> None:
        self._patches = patches
        self._patched = ExitStack()
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    @property
    def listeners(self) -> list[Listener]:
        """Returns the present listeners, in the order in which they came."""
        return list(self._listeners)

    @contextmanager
    def heard_by(self, listener: Listener) -> Iterator[None]:
        """Lets a listener listen during the block."""
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
