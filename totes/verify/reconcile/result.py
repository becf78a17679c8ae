"""What a comparison of totesys with the warehouse finds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from totes.errors import SHOWN

if TYPE_CHECKING:
    from totes.verify.reconcile.snapshots import Rows

Texts = Sequence[str | None]


@dataclass
class Keys:
    """How many rows there are of a kind, and the first of their keys."""

    rows: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, keys: Collection[int]) -> None:
        self.rows += len(keys)
        self.first = sorted([*self.first, *keys])[:SHOWN]


@dataclass(frozen=True)
class Cell:
    """A value that differs, as text; None is NULL."""

    key: int
    column: str
    totesys: str | None
    warehouse: str | None


@dataclass(frozen=True)
class Sums:
    """What a column adds up to on both sides. No business figure: prices are not quantities, nor currencies one."""

    totesys: int | Decimal
    warehouse: int | Decimal


@dataclass
class TableDifferences:
    """A table of the warehouse beside its source.

    Attributes:
        key: the column whose values the keys are.
        in_totesys, in_warehouse: rows there; in the warehouse those that are current.
        missing: rows that only totesys has.
        extra: rows that only the warehouse has.
        differing: rows that both have, with other values.
        on_their_way: rows that were written or deleted in totesys since the last loaded batch.
        set_aside: rows that are in quarantine, and so missing or as they were before on purpose.
        kept: rows of a dimension that were deleted in totesys, as their tombstones say.
        columns: in how many of the differing rows each column differs.
        cells: the values that differ, in the first of the differing rows.
        sums: of a fact's numbers, by column.
    """

    table: str
    source: str
    key: str
    in_totesys: int = 0
    in_warehouse: int = 0
    missing: Keys = field(default_factory=Keys)
    extra: Keys = field(default_factory=Keys)
    differing: Keys = field(default_factory=Keys)
    on_their_way: Keys = field(default_factory=Keys)
    quarantined: Keys = field(default_factory=Keys)
    kept: Keys = field(default_factory=Keys)
    columns: dict[str, int] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    sums: dict[str, Sums] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        return not (self.missing.rows or self.extra.rows or self.differing.rows)

    def add_values(self, columns: Sequence[str], totesys: Mapping[int, Texts], warehouse: Mapping[int, Texts]) -> None:
        """Compares the values of rows that differ, by key."""
        for key in sorted(totesys):
            for column, here, there in zip(columns, totesys[key], warehouse[key], strict=True):
                if here != there:
                    self.columns[column] = self.columns.get(column, 0) + 1
                    if key in self.differing.first:
                        self.cells.append(Cell(key, column, here, there))


@dataclass(frozen=True)
class Reconciliation:
    """All tables that were compared.

    Attributes:
        batch: the last batch that the warehouse has loaded.
        batch_at: the moment of totesys that it shows.
        totesys_at: the moment of totesys that the warehouse was compared with.
        no_fence: why what was written since the batch can't be told from what is wrong; None where it can.
    """

    batch: int
    batch_at: datetime
    totesys_at: datetime
    no_fence: str | None
    tables: Sequence[TableDifferences]

    @property
    def agrees(self) -> bool:
        return all(table.agrees for table in self.tables)


@dataclass(frozen=True)
class Apart:
    """Keys of rows that are not the same on both sides; `new` are those of them that are new in totesys."""

    missing: frozenset[int]
    extra: frozenset[int]
    differing: frozenset[int]
    new: frozenset[int]


def buckets_apart(totesys: "Rows", warehouse: "Rows") -> list[int]:
    """The numbers, in order, of buckets that are not the same: each a number, rows, a checksum, and sums."""
    here, there = ({number: (rows, checksum) for number, rows, checksum, *_ in side} for side in (totesys, warehouse))
    return sorted(number for number in here.keys() | there.keys() if here.get(number) != there.get(number))


def rows_apart(totesys: "Rows", warehouse: "Rows") -> Apart:
    """Compares rows, each a key, a checksum and whether it is new."""
    here, there = ({key: checksum for key, checksum, _ in side} for side in (totesys, warehouse))
    missing, extra = here.keys() - there.keys(), there.keys() - here.keys()
    differing = {key for key in here.keys() & there.keys() if here[key] != there[key]}
    new = {key for key, _, is_new in totesys if is_new} & (missing | differing)
    return Apart(frozenset(missing), frozenset(extra), frozenset(differing), frozenset(new))
