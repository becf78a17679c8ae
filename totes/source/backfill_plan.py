"""The plan of a backfill: which tables are read at once, and in which ranges of keys the others are."""

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
    """The rows of a table with keys from `low` on and below `high`; None is unbounded. They become batch `batch`."""

    batch: int
    table: str
    low: int | None
    high: int | None


@dataclass(frozen=True)
class Plan:
    """What a backfill is about to do.

    Attributes:
        first: its first batch, which holds the tables that were read with the plan.
        snapshot_at: when the plan's snapshot was taken, UTC.
        source: where totesys stood then.
        structure: the relations that held the rows of each table then.
        tables: the objects of the first batch.
        ranges: the ranges still to read, in the order of the batches; at least one.
    """

    first: int
    snapshot_at: datetime
    source: SourcePosition
    structure: Structure
    tables: Mapping[str, Parts]
    ranges: tuple[Range, ...]

    @property
    def last(self) -> int:
        """Its last batch."""
        return self.ranges[-1].batch

    def of_facts(self, yes: bool) -> list[Range]:
        """The ranges of tables that become facts, or those of the others."""
        return [part for part in self.ranges if (part.table in fact_sources()) is yes]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"snapshot_at": self.snapshot_at.isoformat()}


def parse_plan(document: Mapping[str, Any]) -> Plan:
    """A plan out of its JSON."""
    return Plan(
        first=document["first"],
        snapshot_at=datetime.fromisoformat(document["snapshot_at"]),
        source=parse_position(document["source"]),
        structure=document["structure"],
        tables={table: parse_parts(parts) for table, parts in document["tables"].items()},
        ranges=tuple(Range(**part) for part in document["ranges"]),
    )


def fact_sources() -> set[str]:
    """The tables of totesys whose rows become facts."""
    return {table.source for table in warehouse_tables().values() if table.is_fact and table.source}


def dividable() -> list[SourceTable]:
    """The tables that may be read in ranges, those that become facts last.

    A table that the warehouse joins with another is not among them: both sides of a row have to be in one batch.
    """
    facts = fact_sources()
    tables = [table for name, table in source_tables().items() if name not in joined_tables()]
    return sorted(tables, key=lambda table: table.name in facts)


def divided(extents: Mapping[str, Extent], first: int, rows: int) -> Iterator[Range]:
    """The ranges of all tables with more than `rows` rows and of all that become facts, numbered from `first` on.

    Keys are counted up by totesys, so ranges of keys of one length have about as many rows each.
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
