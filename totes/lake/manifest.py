"""The manifest: a batch's entry in a zone's log, and its commit.

Its shape is schemas/interfaces/manifest.schema.json.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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
# The reason why a table was read in full, where a backfill has read it.
BACKFILL = "backfill"

# Of one table: `data` the rows, `deleted` the keys that are gone, `keys` all keys that are there, `aside` all rows that
# are quarantined.
Parts = Mapping[str, StoredObject]


@dataclass(frozen=True)
class Manifest:
    """One batch in one zone.

    Attributes:
        batch: 1, 2, 3 …
        snapshot_at: when the snapshot was taken, UTC; later if the clock of totesys went back.
        execution: the ARN of the execution that made it.
        made_at: when the manifest was written, UTC.
        source: where totesys stood at the snapshot.
        columns: the columns of totesys that were read, by table.
        structure: the relations that held the rows of each table; None before version 3.
        full_read: the tables that were read in full, each with the reason.
        tables: the objects of each table. In the landing zone every table has its `keys` (a backfill's those of the
            batch before it, until its last batch), and those with quarantined
            rows have `aside`, which may be an earlier batch's object. A table in which nothing changed has no `data`
            and no `deleted`.
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
        """Whether it is a part of a backfill, and so shows totesys at no one moment."""
        return BACKFILL in self.full_read.values()

    @property
    def size(self) -> int:
        """How many rows its own objects have, but for the keys."""
        parts = (part for parts in self.tables.values() for part in parts.items())
        return sum(stored.rows for name, stored in parts if name != "keys")

    def objects(self, part: str) -> dict[str, StoredObject]:
        """The objects of one part by table, for instance all `data`."""
        return {table: parts[part] for table, parts in self.tables.items() if part in parts}

    def rows(self, part: str = "data") -> dict[str, int]:
        """Rows by table, of the tables that have any."""
        return {table: stored.rows for table, stored in self.objects(part).items() if stored.rows}

    def as_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "batch": self.batch,
            "snapshot_at": self.snapshot_at.isoformat(),
            "execution": self.execution,
            "made_at": self.made_at.isoformat(),
            "source": asdict(self.source),
            "columns": dict(self.columns),
            "structure": self.structure,
            "full_read": dict(self.full_read),
            "tables": {
                table: {part: stored.as_json() for part, stored in parts.items()}
                for table, parts in self.tables.items()
            },
        }


def moment_after(previous: Manifest | None, moment: datetime) -> datetime:
    """Returns a snapshot's time, or a microsecond after the batch before if the clock of totesys went back."""
    return max(moment, previous.snapshot_at + timedelta(microseconds=1)) if previous else moment


def parse_manifest(text: bytes, where: str) -> Manifest:
    """A manifest out of its JSON.

    Raises:
        VersionUnknown: a newer release wrote it: its meaning is not guessed.
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
    """The objects of a table out of their JSON."""
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
