"""The record ids that facts are given: the same in a replay as in the live warehouse, and none of them twice.

Loads that failed have used up ids, which those of a replay would not; so each batch begins where it began.
"""

import sqlalchemy

from totes.contracts.declarations import WarehouseTable, warehouse_tables
from totes.postgres.connection import quoted
from totes.warehouse import schema
from totes.warehouse.schema import LIVE


class RecordIdsGiven:
    """The record ids that the live warehouse has given out, as its log has them at this moment."""

    def __init__(self, live: sqlalchemy.Connection) -> None:
        given = live.execute(schema.statement(live, "record_ids_given"))
        self._first = {(row.batch_id, row.table_name): row.first_record_id for row in given}

    def repeat(self, replayed: sqlalchemy.Connection, batch: int) -> None:
        """Lets the next batch of a replay begin with the record ids that it has."""
        for fact in _facts():
            first = self._first.get((batch, fact.name))
            if first is None:
                # Its entry in the log is in doubt or gone: its rows tell.
                first = _next_of_live(replayed, fact)
            if first is not None:
                _go_on_behind(replayed, fact, first - 1)


def go_on_behind_the_last(connection: sqlalchemy.Connection) -> None:
    """Lets record ids go on behind those that are there."""
    for fact in _facts():
        newest = schema.statement(connection, "newest", key=quoted(fact.key), table=schema.star(connection, fact.name))
        _go_on_behind(connection, fact, connection.scalar(newest) or 0)


def _facts() -> list[WarehouseTable]:
    return [table for table in warehouse_tables().values() if table.is_fact]


def _next_of_live(replayed: sqlalchemy.Connection, fact: WarehouseTable) -> int | None:
    following = schema.statement(
        replayed,
        "next_record_id",
        key=quoted(fact.key),
        live=quoted(LIVE.stars, fact.name),
        replayed=schema.star(replayed, fact.name),
    )
    found: int | None = replayed.scalar(following)
    return found


def _go_on_behind(connection: sqlalchemy.Connection, fact: WarehouseTable, given: int) -> None:
    # A sequence can't be set to 0.
    if given > 0:
        connection.execute(
            schema.statement(connection, "go_on_behind"),
            {"table": schema.star(connection, fact.name), "key": fact.key, "given": given},
        )
