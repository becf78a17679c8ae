"""The transaction in which a batch is read: it takes the locks, then one snapshot, then the server's position."""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pg8000.dbapi

from totes.contracts.declarations import SourceTable, source_tables
from totes.errors import DatabaseFailed
from totes.postgres.catalogue import CatalogueColumn, CatalogueTable, Relation
from totes.postgres.connection import quoted
from totes.postgres.driver import PipelineConnection
from totes.postgres.position import SourcePosition
from totes.postgres.server_errors import LOCK_TIMEOUT, sqlstate
from totes.postgres.statements import sql
from totes.source.catalogue import check_catalogue
from totes.source.violations import MOST, Violation, raise_if_any, repeated_key
from totes.source.windows import Count, Extent, Windows, taken

# By pg_class.relpersistence.
_UNLOGGED = "u"
# How long Ingest tries to get its locks, and the pause between two attempts.
LOCKING_SECONDS = 20.0
_PAUSE = 0.2
# A table is missing, may not be read, or is of a kind that can't be locked; the catalogue shows which.
_NOT_LOCKABLE = ("42P01", "42501", "42809")


@dataclass(frozen=True)
class _Fact:
    """A value that the server may lack, or that the user may lack the right to read.

    Attributes:
        functions: the functions that the user must be allowed to execute.
        sql: the expression that returns the value.
    """

    functions: tuple[str, ...]
    sql: str


def _moment(function: str) -> _Fact:
    stamp = f"pg_catalog.timezone('UTC', pg_catalog.{function})"
    return _Fact((function,), f"""pg_catalog.to_char({stamp}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""")


_SYSTEM = _Fact(
    ("pg_control_system()",),
    "(SELECT CAST(system_identifier AS text) FROM pg_catalog.pg_control_system())",
)
_WRITING = {
    "system": _SYSTEM,
    # From the WAL file's name, because the control file has a new timeline only after the next checkpoint.
    "timeline": _Fact(
        ("pg_walfile_name(pg_lsn)", "pg_current_wal_insert_lsn()"),
        "CAST(CAST('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) "
        "AS bit(32)) AS integer)",
    ),
    "started_at": _moment("pg_postmaster_start_time()"),
    # Recovery from a crash discards the statistics; a restart keeps them.
    "recovered_at": _moment("pg_stat_get_bgwriter_stat_reset_time()"),
    "lsn": _Fact(("pg_current_wal_insert_lsn()",), "CAST(pg_catalog.pg_current_wal_insert_lsn() AS text)"),
    "flushed": _Fact(("pg_current_wal_flush_lsn()",), "CAST(pg_catalog.pg_current_wal_flush_lsn() AS text)"),
}
_IN_RECOVERY = {
    "system": _SYSTEM,
    "timeline": _Fact(("pg_control_checkpoint()",), "(SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())"),
    "lsn": _Fact(("pg_last_wal_replay_lsn()",), "CAST(pg_catalog.pg_last_wal_replay_lsn() AS text)"),
}
_FUNCTIONS = sorted({name for facts in (_WRITING, _IN_RECOVERY) for fact in facts.values() for name in fact.functions})


class Snapshot:
    """A snapshot of totesys, as long as its transaction is open.

    Attributes:
        connection: the connection whose transaction shows it.
        position: where totesys stands.
        taken_at: when it was taken, UTC.
        flushed: how far the server had flushed its write-ahead log; None if the server can't be asked.
        end: the end of that log after the snapshot; on a standby, the end of the log that it had replayed.
        undeclared: columns that no contract declares, by table.
        catalogue: the declared tables as the catalogue shows them.
        unlogged: the tables whose rows do not survive a crash.
    """

    def __init__(
        self,
        connection: PipelineConnection,
        position: SourcePosition,
        taken_at: datetime,
        catalogue: Mapping[str, CatalogueTable],
        flushed: str | None,
        end: str | None,
    ) -> None:
        self.connection = connection
        self.position = position
        self.taken_at = taken_at
        self.flushed = flushed
        self.end = end
        self.undeclared = check_catalogue(source_tables(), catalogue)
        self.catalogue = catalogue
        self.unlogged = sorted(
            name for name, table in catalogue.items() if any(held.persistence == _UNLOGGED for held in table.relations)
        )

    def counts(self, windows: Windows) -> dict[str, Count]:
        """Counts all tables' rows and finds their first new ones, in one scan each and one round trip.

        Raises:
            ContractViolation: two rows of a table without a unique index have the same key.
        """
        selects = [
            f"SELECT '{table}' AS name, count(*) AS all_rows, {self._keys_again(table)} AS again, "  # noqa: S608  names come from the contracts
            f"CAST(min({quoted(table, 'ctid')}) FILTER (WHERE {taken(source_tables()[table], window)}) AS text) "
            f"AS first_new FROM public.{quoted(table)} AS {quoted(table)}"
            for table, window in windows.items()
        ]
        rows = self.connection.execute(" UNION ALL ".join(selects)).all()
        for row in rows:
            raise_if_any(self._repeated(source_tables()[row.name]) if row.again else [])
        return {row.name: Count(row.all_rows, row.first_new) for row in rows}

    def _keys_again(self, table: str) -> str:
        """Returns SQL for how many rows repeat another row's key; 0 if a unique index rules them out."""
        key = source_tables()[table].key
        return "0" if self.catalogue[table].has_unique(key) else f"count(*) - count(DISTINCT {quoted(table, key)})"

    def _repeated(self, table: SourceTable) -> list[Violation]:
        key = quoted(table.key)
        rows = self.connection.execute(
            f"SELECT {key} AS key, count(*) AS number FROM public.{quoted(table.name)} "  # noqa: S608  names come from the contracts
            f"GROUP BY {key} HAVING count(*) > 1 ORDER BY {key} LIMIT {MOST}"
        )
        return [repeated_key(table, row.key, row.number) for row in rows]

    def extents(self, tables: Iterable[SourceTable]) -> dict[str, Extent]:
        """Counts tables' rows and finds their lowest and highest keys, in one scan each and one round trip."""
        selects = [
            f"SELECT '{table.name}' AS name, count(*) AS all_rows, coalesce(min({key}), 0) AS low, "  # noqa: S608  names come from the contracts
            f"coalesce(max({key}), 0) AS high FROM public.{quoted(table.name)}"
            for table in tables
            for key in [quoted(table.key)]
        ]
        rows = self.connection.execute(" UNION ALL ".join(selects))
        return {row.name: Extent(row.all_rows, row.low, row.high) for row in rows}


@contextmanager
def snapshot(connection: PipelineConnection, tables: Collection[str] = ()) -> Iterator[Snapshot]:
    """Opens the transaction in which a batch is read.

    Args:
        tables: the tables to lock against DDL; all declared ones if none is named.

    Raises:
        pg8000.dbapi.DatabaseError: a table could not be locked for 20 seconds (55P03), or the server refuses.
        ContractViolation: tables or columns are not as declared.
        AccessDenied: the user may not read a table, or some of its rows are hidden.
    """
    names = tables or source_tables().keys()
    row = _begin(connection, names)
    replayed = None
    if row.in_recovery:
        # A standby's position must not be later than its snapshot, so it is read before the snapshot is taken again.
        connection.rollback()
        with connection.begin():
            replayed = _facts(connection, {"lsn": _IN_RECOVERY["lsn"]}, row.allowed)["lsn"]
        row = _begin(connection, names)
    with connection.begin():
        if row.own_id is not None:
            raise DatabaseFailed(
                f"The transaction that reads totesys has the id {row.own_id}, so newer rows would look old.",
                "Find the function or the role's setting that makes this transaction write.",
            )
        facts = _facts(connection, _IN_RECOVERY if row.in_recovery else _WRITING, row.allowed)
        flushed, end = facts.pop("flushed", None), facts["lsn"]
        facts["lsn"] = replayed if row.in_recovery else end
        position = SourcePosition(
            database=row.database, xmin=row.xmin, xmax=row.xmax, in_recovery=row.in_recovery, **facts
        )
        yield Snapshot(connection, position, row.snapshot_at, read_catalogue(connection), flushed, end)


def read_catalogue(connection: PipelineConnection) -> dict[str, CatalogueTable]:
    """Reads the catalogue's entries of all declared tables that exist, by name, in one round trip."""
    columns = [f"{name}.{column.name}" for name, table in source_tables().items() for column in table.columns]
    statement = sql("source", "catalogue")
    rows = connection.execute(statement, {"tables": list(source_tables()), "columns": columns})
    return {
        row.name: CatalogueTable(
            row.name,
            row.kind,
            row.hides_rows,
            tuple(row.unique_columns),
            tuple(CatalogueColumn(*column) for column in json.loads(row.columns or "[]")),
            tuple(Relation(*relation) for relation in json.loads(row.relations or "[]")),
        )
        for row in rows
    }


def _begin(connection: PipelineConnection, tables: Collection[str]) -> Any:
    """Locks the tables and takes the snapshot; if a lock is not free, releases everything and tries again."""
    give_up_at = time.monotonic() + LOCKING_SECONDS
    while True:
        try:
            return connection.execute(_position(tables)).one()
        except pg8000.dbapi.DatabaseError as error:
            connection.rollback()
            if sqlstate(error) in _NOT_LOCKABLE:
                with connection.begin():
                    check_catalogue(source_tables(), read_catalogue(connection))
            elif sqlstate(error) != LOCK_TIMEOUT:
                raise
            if time.monotonic() > give_up_at:
                raise
        time.sleep(_PAUSE)


def _position(tables: Collection[str]) -> str:
    return sql("source", "position").format(
        tables=", ".join(quoted("public", table) for table in sorted(tables)),
        functions=", ".join(f"'pg_catalog.{function}'" for function in _FUNCTIONS),
    )


def _facts(connection: PipelineConnection, facts: Mapping[str, _Fact], allowed: Collection[str]) -> dict[str, Any]:
    """Returns the server's facts; None for each that the server lacks or that the user may not read."""
    permitted = {
        name: fact
        for name, fact in facts.items()
        if all(f"pg_catalog.{function}" in allowed for function in fact.functions)
    }
    answers = _ask(connection, permitted)
    if answers is None:
        # A fork of PostgreSQL may refuse one: Aurora has no write-ahead log of this kind, and refuses positions in it.
        answers = {}
        for name, fact in permitted.items():
            answers |= _ask(connection, {name: fact}) or {}
    return dict.fromkeys(facts) | answers


def _ask(connection: PipelineConnection, facts: Mapping[str, _Fact]) -> dict[str, Any] | None:
    """Returns the answers; None if the server refused. Either way the transaction stays usable."""
    if not facts:
        return {}
    columns = ", ".join(f"{fact.sql} AS {name}" for name, fact in facts.items())
    try:
        # One round trip. Its text consists of this module's constants, so nothing needs quoting.
        (answers,) = connection.execute(f"SAVEPOINT facts; SELECT {columns}; RELEASE SAVEPOINT facts").mappings()
    except pg8000.dbapi.DatabaseError as error:
        if not sqlstate(error):
            raise
        connection.execute("ROLLBACK TO SAVEPOINT facts")
        return None
    return answers
