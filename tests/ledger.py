"""What the lake says, read from the objects themselves: its logs, and what their manifests name."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq

from tests.oracle import MEASURES

_ENTRY = re.compile(r"log/(\d{8})\.json")
Measured = Mapping[int, tuple[Decimal, ...]]


@dataclass(frozen=True)
class Entry:
    """A batch in a zone's log; `etag` tells whether the manifest is still the one that was written."""

    batch: int
    etag: str
    manifest: Mapping[str, Any]


class Zone:
    """One bucket. What was read once is kept for as long as the object's digest stays the same."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.bucket = bucket
        self._s3 = s3
        self._kept: dict[tuple[str, str], Any] = {}

    def entries(self) -> list[Entry]:
        """The log, in order of the batches."""
        self._etags = {
            item["Key"]: item["ETag"]
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
            for item in page.get("Contents", [])
        }
        return [
            Entry(int(match[1]), self._etags[key], self._once(key, json.loads))
            for key in sorted(self._etags)
            if (match := _ENTRY.fullmatch(key))
        ]

    def states(self) -> Iterator[tuple[Entry, dict[str, dict[int, tuple[Decimal, ...]]], list[str]]]:
        """After each batch: what each table holds, key by key, and what its objects and its manifest disagree about."""
        held: dict[str, dict[int, tuple[Decimal, ...]]] = {}
        for entry in self.entries():
            wrong: list[str] = []
            for table, parts in entry.manifest["tables"].items():
                rows = held.setdefault(table, {})
                for part in ("data", "deleted"):
                    if stored := parts.get(part):
                        found = self._measured(table, stored, wrong)
                        rows |= found if part == "data" else {}
                        held[table] = rows = rows if part == "data" else _without(rows, found)
                if (keys := parts.get("keys")) and (there := self._measured(table, keys, wrong)).keys() != rows.keys():
                    wrong.append(f"{table} has {len(there)} live keys, and {len(rows)} rows that were not deleted")
            yield entry, held, wrong

    def _measured(self, table: str, stored: Mapping[str, Any], wrong: list[str]) -> Measured:
        if stored["key"] not in self._etags:
            wrong.append(f"{stored['key']} is named by the manifest and not there")
            return {}
        found: Measured = self._once(stored["key"], lambda body: _read(table.removeprefix("fact_"), body))
        if len(found) != stored["rows"]:
            wrong.append(f"{stored['key']} has {len(found)} rows; its manifest says {stored['rows']}")
        return found

    def _once(self, key: str, read: Any) -> Any:
        known = key, self._etags[key]
        if known not in self._kept:
            self._kept[known] = read(self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        return self._kept[known]


def _without(rows: dict[int, tuple[Decimal, ...]], gone: Measured) -> dict[int, tuple[Decimal, ...]]:
    return {key: values for key, values in rows.items() if key not in gone}


def _read(table: str, body: bytes) -> Measured:
    """{key: measures} of a Parquet file; the key is what its name says, or the first column."""
    rows = pq.read_table(io.BytesIO(body))
    names = rows.schema.names
    key = f"{table}_id" if f"{table}_id" in names else names[0]
    measures = [name for name in MEASURES.get(table, ()) if name in names]
    columns = [[Decimal(value) for value in rows.column(name).to_pylist()] for name in measures]
    return dict(
        zip(rows.column(key).to_pylist(), zip(*columns, strict=True) if columns else [()] * len(rows), strict=True)
    )
