"""Keeps a table's keys in files, so only a few MB of them are in memory, however many there are."""

import itertools
import os
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# How many keys are sorted at once. If keys come in any order, each run has at least this many.
_SORTED_AT_ONCE = 1 << 20
# How many keys are read at once: of all runs together, and of each run at least.
_AT_ONCE, _LEAST = 1 << 17, 1 << 10
_NUMBERS = itertools.count()

_Keys = npt.NDArray[Any]


class Keys:
    """A table's keys, whole numbers or dates, in a file that is deleted when nothing refers to it any more.

    The file consists of sorted runs. Rows mostly come in the order of their keys, which makes a single run.

    Attributes:
        kind: the keys' type.
        nulls: how many rows have no key.
    """

    def __init__(self, folder: Path, kind: pa.DataType, keys: Iterable[int] = ()) -> None:
        self.kind = kind
        self.nulls = 0
        self._folder = folder
        self._path = folder / f"keys.{os.getpid()}.{next(_NUMBERS)}"
        self._dtype = np.asarray(pa.array([], kind)).dtype
        # The place of each run's first key.
        self._runs: list[int] = []
        self._count = 0
        self._last: int | None = None
        # The keys that are not in the file yet.
        self._coming: list[_Keys] = []
        self._waiting = 0
        weakref.finalize(self, self._path.unlink, missing_ok=True)
        self.add(pa.array(keys, kind))

    def __len__(self) -> int:
        return self._count + self._waiting

    def add(self, keys: pa.Array | pa.ChunkedArray) -> None:
        """Adds keys in any order. Their type may be narrower."""
        self.nulls += keys.null_count
        coming = np.asarray(keys.cast(self.kind).drop_null())
        self._coming.append(coming)
        self._waiting += len(coming)
        if self._waiting >= _SORTED_AT_ONCE:
            self._sort()

    def in_order(self) -> Iterator[_Keys]:
        """Yields the keys in ascending order, in pieces. Equal keys come in the same piece."""
        self._sort()
        bounds = list(itertools.pairwise([*self._runs, self._count]))
        at_once = max(_AT_ONCE // max(len(bounds), 1), _LEAST)
        for parts in _side_by_side([self._run(begin, end, at_once) for begin, end in bounds]):
            yield parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))

    def repeated(self) -> dict[int | None, int]:
        """Returns each key that more than one row has, and NULL if any row has it, with the number of rows."""
        again: Counter[int] = Counter()
        for keys in self.in_order():
            again.update(keys[1:][keys[1:] == keys[:-1]].tolist())
        counts: dict[int | None, int] = {key: count + 1 for key, count in again.items()}
        return counts | ({None: self.nulls} if self.nulls else {})

    def having(self, wanted: Iterable[int]) -> set[int]:
        """Returns the wanted keys that are here."""
        sought = np.array(sorted(wanted), np.int64)
        return {key for keys in self.in_order() for key in keys[_are_among(keys, sought)].tolist()}

    def minus(self, others: "Keys") -> "Keys":
        """Returns these keys without the others."""
        if not len(others):
            return self
        left = self.none()
        for ours, theirs in _side_by_side([self.in_order(), others.in_order()]):
            left._append(ours[~_are_among(ours, theirs)])
        return left

    def plus(self, others: "Keys") -> "Keys":
        """Returns these keys and the others; keys that both have come twice."""
        both = self.none()
        for keys in itertools.chain(self.in_order(), others.in_order()):
            both._append(keys)
        return both

    def distinct(self) -> "Keys":
        """Returns each key once."""
        once = self.none()
        for keys in self.in_order():
            once._append(np.unique(keys))
        return once

    def none(self) -> "Keys":
        """Returns an empty set of keys of the same type."""
        return Keys(self._folder, self.kind)

    def to_pylist(self) -> list[int]:
        """Returns the keys in order."""
        return [key for keys in self.in_order() for key in keys.tolist()]

    def _sort(self) -> None:
        if self._coming:
            coming, self._coming, self._waiting = self._coming, [], 0
            self._append(np.sort(np.concatenate(coming)))

    def _append(self, ordered: _Keys) -> None:
        """Adds sorted keys to the file: to the last run if they don't begin below its end, else as a new run."""
        if not len(ordered):
            return
        if self._last is None or ordered[0] < self._last:
            self._runs.append(self._count)
        with self._path.open("ab") as file:
            file.write(ordered.view(np.uint8).data)
        self._count += len(ordered)
        self._last = ordered[-1]

    def _run(self, begin: int, end: int, at_once: int) -> Iterator[_Keys]:
        for place in range(begin, end, at_once):
            count = min(at_once, end - place)
            yield np.fromfile(self._path, self._dtype, count, offset=place * self._dtype.itemsize)


def _side_by_side(streams: Sequence[Iterator[_Keys]]) -> Iterator[list[_Keys]]:
    """Walks through sorted streams in step: yields an array of each stream, all up to the same value.

    Equal keys come in the same step, even if they are spread over several pieces of a stream.
    """
    heads = [next(stream, None) for stream in streams]
    while last := [head[-1] for head in heads if head is not None]:
        steps = [_up_to(min(last), head, stream) for head, stream in zip(heads, streams, strict=True)]
        heads = [rest for _, rest in steps]
        yield [taken for taken, _ in steps]


def _up_to(bound: Any, head: _Keys | None, stream: Iterator[_Keys]) -> tuple[_Keys, _Keys | None]:
    """Returns a stream's keys up to a value, and the rest of its current piece; None if the stream has ended."""
    parts: list[_Keys] = []
    while head is not None:
        place = int(np.searchsorted(head, bound, "right"))
        parts.append(head[:place])
        if place < len(head):
            head = head[place:]
            break
        head = next(stream, None)
    return (np.concatenate(parts) if parts else np.array([], bound.dtype)), head


def _are_among(keys: _Keys, ordered: _Keys) -> npt.NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(keys), bool)
    places = np.searchsorted(ordered, keys)
    places[places == len(ordered)] = 0
    return np.asarray(ordered[places] == keys)
