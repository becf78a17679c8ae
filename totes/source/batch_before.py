"""Reads a table's known keys and quarantined rows from the batch before."""

from dataclasses import dataclass
from pathlib import Path

from totes.contracts.declarations import SourceTable
from totes.lake.bucket import StoredObject
from totes.lake.keys import Keys
from totes.lake.manifest import Manifest
from totes.lake.parquet import batches, declared_rows, keys_schema
from totes.lake.side_by_side import Downloads
from totes.source.quarantine import Quarantine, read_quarantine


@dataclass(frozen=True)
class BatchBefore:
    """The batch before, if there is one.

    Attributes:
        folder: holds the files of the keys that are read.
    """

    manifest: Manifest | None
    downloads: Downloads
    folder: Path

    def stored(self, table: str, part: str) -> StoredObject | None:
        """Returns a table's object; None if the batch has none."""
        return self.manifest.tables.get(table, {}).get(part) if self.manifest else None

    def keys(self, table: SourceTable) -> Keys:
        """Returns the keys that the batch knew."""
        schema = keys_schema(table)
        known = Keys(self.folder, schema.types[0])
        if stored := self.stored(table.name, "keys"):
            for piece in batches(self.downloads.file(stored)):
                known.add(declared_rows(piece, schema).column(0))
        return known

    def quarantine(self, table: str) -> Quarantine:
        """Returns the rows that the batch left in quarantine."""
        stored = self.stored(table, "aside")
        if stored is None or not stored.rows:
            return {}
        return read_quarantine(self.downloads.file(stored))
