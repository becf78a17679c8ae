"""A backfill's plan: the tables that are read whole, and the ranges of keys in which the others are read."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from totes.contracts.declarations import SourceTable, source_tables, warehouse_tables
from totes.lake.manifest import Parts, parse_parts, parse_position
from totes.postgres.catalogue import Structure
from totes.postgres.position import SourcePosition
from totes.source.windows import Extent, joined_tables


@dataclass(frozen=True)
class Range:
    """A table's rows with keys from `low` up to, but not including, `high`; None is unbounded.

    They become batch `batch`.
    """

    batch: int
    table: str
    low: int | None
    high: int | None


@dataclass(frozen=True)
class Plan:
    """A backfill's plan.

    Attributes:
        first: its first batch, which holds the tables that were read with the plan.
        snapshot_at: when the plan's snapshot was taken, UTC.
        source: where totesys stood then.
        structure: the relations that held each table's rows then.
        tables: the objects of the first batch.
        ranges: the ranges still to read, in batch order; at least one.
    """

    first: int
    snapshot_at: datetime
    source: SourcePosition
    structure: Structure
    tables: Mapping[str, Parts]
    ranges: tuple[Range, ...]

    @property
    def last(self) -> int:
        """Returns the plan's last batch."""
        return self.ranges[-1].batch

    def of_facts(self, yes: bool) -> list[Range]:
        """Returns the ranges of the tables that become facts (`yes`), or of the other tables."""
        return [part for part in self.ranges if (part.table in fact_sources()) is yes]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"snapshot_at": self.snapshot_at.isoformat()}


def parse_plan(document: Mapping[str, Any]) -> Plan:
    """Reads a plan from its JSON."""
    return Plan(
        first=document["first"],
        snapshot_at=datetime.fromisoformat(document["snapshot_at"]),
        source=parse_position(document["source"]),
        structure=document["structure"],
        tables={table: parse_parts(parts) for table, parts in document["tables"].items()},
        ranges=tuple(Range(**part) for part in document["ranges"]),
    )


def fact_sources() -> set[str]:
    """Returns the tables of totesys whose rows become facts."""
    return {table.source for table in warehouse_tables().values() if table.is_fact and table.source}


def dividable() -> list[SourceTable]:
    """Returns the tables that may be read in ranges; those that become facts come last.

    It leaves out each table that the warehouse joins with another: the joined rows must be in one batch.
    """
    facts = fact_sources()
    tables = [table for name, table in source_tables().items() if name not in joined_tables()]
    return sorted(tables, key=lambda table: table.name in facts)


def divided(extents: Mapping[str, Extent], first: int, rows: int) -> Iterator[Range]:
    """Yields the ranges of each table that has more than `rows` rows or becomes a fact, as batches from `first` on.

    totesys gives out its keys in sequence, so ranges of the same length have about the same number of rows.
    """
    batch = first
    for table in dividable():
        extent = extents[table.name]
        if extent.rows <= rows and table.name not in fact_sources():
            continue
        number = max(1, -(-extent.rows // rows))
        width = extent.high + 1 - extent.low
        edges = [None, *(extent.low + width * part // number for part in range(1, number)), None]
        for low, high in itertools.pairwise(edges):
            yield Range(batch, table.name, low, high)
            batch += 1
