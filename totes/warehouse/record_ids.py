"""Gives facts the same record ids in a replay as in the live warehouse, and no id twice.

Failed loads have used up ids in the live warehouse, but not in the replay. So each batch of the replay begins with the
record id with which it began there.
"""

from totes.contracts.declarations import WarehouseTable, warehouse_tables
from totes.postgres.connection import quoted
from totes.warehouse.warehouse import Warehouse


class RecordIdsGiven:
    """The record ids that the live warehouse has given out, according to its log at this moment."""

    def __init__(self, live: Warehouse) -> None:
        given = live.execute("record_ids_given")
        self._live = live
        self._first = {(row.batch_id, row.table_name): row.first_record_id for row in given}

    def repeat(self, replayed: Warehouse, batch: int) -> None:
        """Lets a replay's next batch begin with the record ids that it has in the live warehouse."""
        for fact in _facts():
            first = self._first.get((batch, fact.name))
            if first is None:
                # The batch's entry in the log is missing or doubtful, but the live rows show where it began.
                first = self._next_of_live(replayed, fact)
            if first is not None:
                _advance_sequence(replayed, fact, first - 1)

    def _next_of_live(self, replayed: Warehouse, fact: WarehouseTable) -> int | None:
        following: int | None = replayed.scalar(
            "next_record_id",
            key=quoted(fact.key),
            live=self._live.star(fact.name),
            replayed=replayed.star(fact.name),
        )
        return following


def advance_sequence(warehouse: Warehouse) -> None:
    """Lets new record ids continue after the highest existing ones."""
    for fact in _facts():
        newest = warehouse.scalar("newest", key=quoted(fact.key), table=warehouse.star(fact.name))
        _advance_sequence(warehouse, fact, newest or 0)


def _facts() -> list[WarehouseTable]:
    return [table for table in warehouse_tables().values() if table.is_fact]


def _advance_sequence(warehouse: Warehouse, fact: WarehouseTable, given: int) -> None:
    # A sequence can't be set to 0.
    if given > 0:
        warehouse.execute("advance_sequence", {"table": warehouse.star(fact.name), "key": fact.key, "given": given})
