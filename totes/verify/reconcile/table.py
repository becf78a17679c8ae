"""Compares a table of the warehouse with totesys, row by row, without fetching all rows.

Both servers add up checksums of their rows by bucket of keys. For a bucket that differs they return each key with its
checksum, and for a row that differs its values. So if nothing differs, it takes one scan of each side. It never needs
memory for more than 16,384 keys of each side, however much differs.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from totes.contracts.declarations import WarehouseTable
from totes.verify.reconcile.loaded_batch import LoadedBatch
from totes.verify.reconcile.result import Sums, TableDifferences, Texts, buckets_apart, rows_apart
from totes.verify.reconcile.snapshots import Rows, Snapshots
from totes.verify.reconcile.sql import BUCKET_BITS, columns_of, totesys_side, warehouse_side

BUCKETS_AT_ONCE = 64
VALUES_AT_ONCE = 1000

# A callback for progress: it is called with a few words.
Seen = Callable[[str], object]

_T = TypeVar("_T")
_DELETED = "SELECT business_id FROM {log}.tombstone WHERE table_name = :table AND business_id = ANY(:keys)"
_SET_ASIDE = (
    "SELECT business_id FROM {log}.quarantine "
    "WHERE table_name = :source AND released_batch_id IS NULL AND business_id = ANY(:keys)"
)
# The version of the warehouse's schema that has a quarantine.
QUARANTINE_SINCE = 2
# The version in which a tombstone ends when a dimension's row comes back.
TOMBSTONES_END_SINCE = 3


class TableComparison:
    """The comparison of one table in both databases.

    Args:
        version: the version of the warehouse's schema.
        batch: the last batch that the warehouse has loaded.
    """

    def __init__(self, table: WarehouseTable, version: int, snapshots: Snapshots, batch: LoadedBatch) -> None:
        self._table = table
        self._version = version
        self._snapshots = snapshots
        self._batch = batch
        self._columns = [column.name for column in columns_of(table, version)]
        self._totesys = totesys_side(table, version, batch.is_new())
        self._warehouse = warehouse_side(table, version, snapshots.schemas)
        self._found = TableDifferences(table.name, table.source or "", table.identity)

    def run(self, seen: Seen) -> TableDifferences:
        """Compares the table, and reports progress to `seen`."""
        seen(self._table.name)
        buckets = self._compare_buckets()
        for number, part in enumerate(_parts(buckets, BUCKETS_AT_ONCE)):
            seen(f"{self._table.name}: {number * BUCKETS_AT_ONCE:,} of {len(buckets):,} parts that differ")
            self._compare_rows(part)
        return self._found

    def _compare_buckets(self) -> Sequence[int]:
        totesys, warehouse = self._snapshots.both(
            self._totesys.buckets(), self._warehouse.buckets(), **self._totesys.bound
        )
        self._found.in_totesys = sum(bucket[1] for bucket in totesys)
        self._found.in_warehouse = sum(bucket[1] for bucket in warehouse)
        for index, column in enumerate(self._totesys.measures, start=3):
            self._found.sums[column] = Sums(_sum(totesys, index), _sum(warehouse, index))
        return buckets_apart(totesys, warehouse)

    def _compare_rows(self, buckets: Sequence[int]) -> None:
        low, high = buckets[0] << BUCKET_BITS, ((buckets[-1] + 1) << BUCKET_BITS) - 1
        apart = rows_apart(
            *self._snapshots.both(
                self._totesys.keys(),
                self._warehouse.keys(),
                low=low,
                high=high,
                buckets=list(buckets),
                **self._totesys.bound,
            )
        )
        quarantined = self._quarantined(apart.missing | apart.differing)
        coming = apart.new - quarantined - self._loaded_as_they_are(apart.new)
        going = self._batch.had(self._table, apart.extra)
        kept = self._tombstoned(apart.extra - going)
        differing = apart.differing - coming - quarantined
        self._found.missing.add(apart.missing - coming - quarantined)
        self._found.extra.add(apart.extra - going - kept)
        self._found.differing.add(differing)
        self._found.quarantined.add(quarantined)
        self._found.on_their_way.add(coming | going)
        self._found.kept.add(kept)
        for keys in _parts(sorted(differing), VALUES_AT_ONCE):
            both = self._snapshots.both(
                self._totesys.values(), self._warehouse.values(), keys=keys, **self._totesys.bound
            )
            self._found.add_values(self._columns, *map(_by_key, both))

    def _loaded_as_they_are(self, keys: Collection[int]) -> set[int]:
        """Returns the keys of new rows whose present values the batch already has: these rows are not in flight.

        While a long-running transaction holds the fence back, rows that a batch already has seem new.
        """
        brought = self._batch.brought(self._table, self._columns, keys)
        if not brought:
            return set()
        now = _by_key(self._snapshots.totesys(self._totesys.values(), keys=list(brought), **self._totesys.bound))
        return {key for key, texts in brought.items() if texts == now[key]}

    def _quarantined(self, keys: Collection[int]) -> set[int]:
        """Returns those of the keys whose rows are in quarantine, as their contract allows."""
        if self._version < QUARANTINE_SINCE or not keys:
            return set()
        return self._ids_in_log(_SET_ASIDE, source=self._table.source, keys=list(keys))

    def _tombstoned(self, keys: Collection[int]) -> set[int]:
        if self._table.is_fact or not keys:
            return set()
        query = _DELETED if self._version < TOMBSTONES_END_SINCE else f"{_DELETED} AND ended_batch_id IS NULL"
        return self._ids_in_log(query, table=self._table.name, keys=list(keys))

    def _ids_in_log(self, query: str, **values: object) -> set[int]:
        statement = self._snapshots.schemas.fill_in(query)
        return {row.business_id for row in self._snapshots.warehouse(statement, **values)}


def _by_key(rows: Rows) -> dict[int, Texts]:
    return {key: texts for key, *texts in rows}


def _sum(buckets: Rows, index: int) -> int:
    return sum(bucket[index] or 0 for bucket in buckets)


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
