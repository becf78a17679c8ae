"""Reads the lake's content from the objects themselves: its logs, and the objects that their manifests name."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from tests.support import moto_inside
from tests.support.oracle import MEASURES

_ENTRY = re.compile(r"log/(\d{8})\.json")


# By table: the column that is added up for each row.
Measured = dict[int, tuple[Any, ...]]


@dataclass(frozen=True)
class Entry:
    """A batch in a zone's log; `etag` shows whether the manifest has changed since it was written."""

    batch: int
    etag: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """The rows of each table in a zone after a batch, and the contradictions between its objects and its manifest."""

    batch: int
    held: Mapping[str, Measured]
    wrong: list[str]


class Zone:
    """One bucket. It reads an object once, until the object's digest changes."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._kept: dict[tuple[str, str], Any] = {}
        self._etags: dict[str, str] = {}

    def know(self, other: "Zone") -> None:
        """Takes over what another zone has read: the same key and digest mean the same object."""
        self._kept |= other._kept

    def entries(self) -> list[Entry]:
        """Returns the log as it is now, in order of the batches."""
        self._etags = moto_inside.etags(self._bucket)
        return [
            Entry(int(match[1]), self._etags[key], self._once(key, json.loads))
            for key in sorted(self._etags)
            if (match := _ENTRY.fullmatch(key))
        ]

    def states(self, entries: Iterable[Entry]) -> Iterator[State]:
        """Returns the content of the zone after each batch."""
        held: dict[str, Measured] = {}
        for entry in entries:
            wrong: list[str] = []
            for table, parts in entry.manifest["tables"].items():
                there = {part: self._measured(table, stored, wrong) for part, stored in parts.items()}
                rows = held.get(table, {}) | there.get("data", {})
                held[table] = {key: rows[key] for key in rows.keys() - there.get("deleted", {}).keys()}
                # A quarantined row exists, too, whether or not an earlier version of it was landed.
                live = held[table].keys() | there.get("aside", {}).keys()
                if "keys" in there and there["keys"].keys() != live:
                    wrong.append(f"{table} has {len(there['keys'])} live keys, and {len(live)} live rows")
            yield State(entry.batch, dict(held), wrong)

    def _measured(self, table: str, stored: Mapping[str, Any], wrong: list[str]) -> Measured:
        if stored["key"] not in self._etags:
            wrong.append(f"{stored['key']} is named by the manifest and not there")
            return {}
        rows: Measured
        count, digest, rows = self._once(stored["key"], lambda body: _read(table.removeprefix("fact_"), body))
        if (count, digest) != (stored["rows"], stored["sha256"]):
            wrong.append(f"{stored['key']} has {count} rows, and is not what its manifest says")
        if count != len(rows):
            wrong.append(f"{stored['key']} has {count} rows of {len(rows)} keys")
        return rows

    def _once(self, key: str, read: Callable[[bytes], Any]) -> Any:
        known = key, self._etags[key]
        if known not in self._kept:
            self._kept[known] = read(moto_inside.body(self._bucket, key))
        return self._kept[known]


def _read(table: str, body: bytes) -> tuple[int, str, Measured]:
    """Returns a Parquet file's number of rows, its sha256, and {key: measures}.

    The key is the column named after the table, or else the first column.
    """
    rows = pq.read_table(io.BytesIO(body))
    names = rows.schema.names
    key = f"{table}_id" if f"{table}_id" in names else names[0]
    measures = [rows.column(name).to_pylist() for name in MEASURES.get(table, ()) if name in names]
    values = zip(*measures, strict=True) if measures else [()] * len(rows)
    return len(rows), hashlib.sha256(body).hexdigest(), dict(zip(rows.column(key).to_pylist(), values, strict=True))
