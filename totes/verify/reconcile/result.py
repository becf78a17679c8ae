"""The result of a comparison of totesys with the warehouse."""

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
    """The number of rows of a kind, and the first of their keys."""

    rows: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, keys: Collection[int]) -> None:
        self.rows += len(keys)
        self.first = sorted([*self.first, *keys])[:SHOWN]


@dataclass(frozen=True)
class Cell:
    """A differing value, as text; None is NULL."""

    key: int
    column: str
    totesys: str | None
    warehouse: str | None


@dataclass(frozen=True)
class Sums:
    """A column's sum in both databases. It is no business figure: it adds up different quantities and currencies."""

    totesys: int | Decimal
    warehouse: int | Decimal


@dataclass
class TableDifferences:
    """The comparison of a table of the warehouse with its source.

    Attributes:
        key: the column with the keys.
        in_totesys, in_warehouse: the number of rows in each; in the warehouse, of current ones.
        missing: rows that only totesys has.
        extra: rows that only the warehouse has.
        differing: rows that both have, with different values.
        on_their_way: rows in flight: written or deleted in totesys since the last loaded batch.
        quarantined: rows in quarantine: so they are missing, or have their earlier values, on purpose.
        kept: rows of a dimension that were deleted in totesys, as their tombstones say.
        columns: in how many of the differing rows each column differs.
        cells: the differing values, in the first of the differing rows.
        sums: the sums of a fact's numbers, by column.
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
        """Compares the values of differing rows, by key."""
        for key in sorted(totesys):
            for column, here, there in zip(columns, totesys[key], warehouse[key], strict=True):
                if here != there:
                    self.columns[column] = self.columns.get(column, 0) + 1
                    if key in self.differing.first:
                        self.cells.append(Cell(key, column, here, there))


@dataclass(frozen=True)
class Reconciliation:
    """The comparison of all tables.

    Attributes:
        batch: the last batch that the warehouse has loaded.
        batch_at: the moment of totesys that it shows.
        totesys_at: the moment of totesys with which the warehouse was compared.
        no_fence: why rows written since the batch can't be distinguished from wrong rows; None if they can.
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
    """Keys of rows that differ between the databases; `new` has those of them that are new in totesys."""

    missing: frozenset[int]
    extra: frozenset[int]
    differing: frozenset[int]
    new: frozenset[int]


def buckets_apart(totesys: "Rows", warehouse: "Rows") -> list[int]:
    """Returns the numbers of the buckets that differ, in order. A bucket is a number, rows, a checksum, and sums."""
    here, there = ({number: (rows, checksum) for number, rows, checksum, *_ in side} for side in (totesys, warehouse))
    return sorted(number for number in here.keys() | there.keys() if here.get(number) != there.get(number))


def rows_apart(totesys: "Rows", warehouse: "Rows") -> Apart:
    """Compares rows; each is a key, a checksum and whether it is new."""
    here, there = ({key: checksum for key, checksum, _ in side} for side in (totesys, warehouse))
    missing, extra = here.keys() - there.keys(), there.keys() - here.keys()
    differing = {key for key in here.keys() & there.keys() if here[key] != there[key]}
    new = {key for key, _, is_new in totesys if is_new} & (missing | differing)
    return Apart(frozenset(missing), frozenset(extra), frozenset(differing), frozenset(new))
