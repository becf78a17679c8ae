"""The manifest: a batch's entry in a zone's log. Writing it commits the batch.

schemas/interfaces/manifest.schema.json declares its shape.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import fastjsonschema

from totes.contracts.declarations import SCHEMAS
from totes.errors import CorruptObject, VersionUnknown
from totes.lake.bucket import StoredObject
from totes.postgres.catalogue import Structure
from totes.postgres.position import SourcePosition

VERSION = 3
# The reason for a full read if a backfill has read the table.
BACKFILL = "backfill"

# A table's objects: `data` has the rows, `deleted` the keys that are gone, `keys` all keys that are there, and `aside`
# all quarantined rows.
Parts = Mapping[str, StoredObject]


@dataclass(frozen=True)
class Manifest:
    """One batch in one zone.

    Attributes:
        batch: 1, 2, 3 …
        snapshot_at: when the snapshot was taken, UTC. It is moved forward if the clock of totesys went back.
        execution: the ARN of the execution that made the batch.
        made_at: when the manifest was written, UTC.
        source: where totesys stood at the snapshot.
        columns: the columns of totesys that were read, by table.
        structure: the relations that held each table's rows; None before version 3.
        full_read: the tables that were read in full, each with the reason.
        tables: each table's objects. In the landing zone every table has `keys`, and a table with quarantined rows has
            `aside`; both may be an earlier batch's object. Until its last batch, a backfill repeats the `keys` of the
            batch before it. A table in which nothing changed has no `data` and no `deleted`.
    """

    batch: int
    snapshot_at: datetime
    execution: str
    made_at: datetime
    source: SourcePosition
    columns: Mapping[str, list[str]]
    tables: Mapping[str, Parts]
    full_read: Mapping[str, str] = field(default_factory=dict)
    structure: Structure | None = None

    @property
    def is_of_backfill(self) -> bool:
        """Returns whether the batch belongs to a backfill, and so does not show totesys at a single moment."""
        return BACKFILL in self.full_read.values()

    @property
    def size(self) -> int:
        """Returns how many rows the batch's objects have, except for `keys`."""
        parts = (part for parts in self.tables.values() for part in parts.items())
        return sum(stored.rows for name, stored in parts if name != "keys")

    def objects(self, part: str) -> dict[str, StoredObject]:
        """Returns the objects of one part, for instance `data`, by table."""
        return {table: parts[part] for table, parts in self.tables.items() if part in parts}

    def rows(self, part: str = "data") -> dict[str, int]:
        """Returns how many rows a part has, by table; tables without rows are left out."""
        return {table: stored.rows for table, stored in self.objects(part).items() if stored.rows}

    def as_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "batch": self.batch,
            "snapshot_at": self.snapshot_at.isoformat(),
            "execution": self.execution,
            "made_at": self.made_at.isoformat(),
            "source": dict(vars(self.source)),
            "columns": dict(self.columns),
            "structure": self.structure,
            "full_read": dict(self.full_read),
            "tables": {
                table: {part: stored.as_json() for part, stored in parts.items()}
                for table, parts in self.tables.items()
            },
        }


def moment_after(previous: Manifest | None, moment: datetime) -> datetime:
    """Returns a snapshot's time; a microsecond after the batch before if the clock of totesys went back."""
    return max(moment, previous.snapshot_at + timedelta(microseconds=1)) if previous else moment


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Reads a manifest from its JSON.

    Raises:
        VersionUnknown: a newer release wrote it, so its meaning is unknown.
        CorruptObject: it is not a manifest.
    """
    try:
        document = json.loads(text)
        version = document.get("version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise VersionUnknown(
                f"{where} is a manifest of version {version}; this release reads up to {VERSION}.",
                "Deploy the release that wrote it, or a later one.",
            )
        _validator()(document)
        return _manifest(document)
    except (ValueError, fastjsonschema.JsonSchemaValueException) as error:
        raise CorruptObject(
            f"{where} is not a manifest: {error}.",
            "Restore its first version in S3 (the buckets are versioned).",
        ) from error


def parse_parts(document: Mapping[str, Any]) -> Parts:
    """Reads a table's objects from their JSON."""
    return {part: StoredObject(**stored) for part, stored in document.items()}


def parse_position(document: Mapping[str, Any]) -> SourcePosition:
    """Reads a position from its JSON. Before version 3 the fence was always the snapshot's xmin."""
    return SourcePosition(**{"fence": document["xmin"], **document})


def _manifest(document: dict[str, Any]) -> Manifest:
    return Manifest(
        batch=document["batch"],
        snapshot_at=datetime.fromisoformat(document["snapshot_at"]),
        execution=document["execution"],
        made_at=datetime.fromisoformat(document["made_at"]),
        source=parse_position(document["source"]),
        columns=document["columns"],
        structure=document.get("structure"),
        full_read=document["full_read"],
        tables={table: parse_parts(parts) for table, parts in document["tables"].items()},
    )


@cache
def _validator() -> Any:
    return fastjsonschema.compile(
        json.loads((SCHEMAS / "interfaces" / "manifest.schema.json").read_text(encoding="utf-8"))
    )
