"""The warehouse's schema: made from the contracts, brought forward version by version, never back.

A migration to a version does three things: it adds the tables and columns whose `since` is the version, runs the files
`schemas/warehouse/<version>_*.sql`, and drops the columns whose `until` is the version. A schema that is made
from empty goes the same way, so it ends with the same columns in the same order. Views and comments are made again at
the end. A column whose declaration has a wider type than the warehouse gets that type in place, whatever the version.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import sqlalchemy
from sqlalchemy.schema import CreateColumn, SetColumnComment, SetTableComment

from totes.contracts import declarations
from totes.contracts.consistency import log_tables
from totes.contracts.declarations import Column, ContractInvalid, WarehouseTable, warehouse_tables
from totes.errors import DatabaseFailed, LogBroken, VersionUnknown
from totes.postgres import locks
from totes.postgres.connection import quoted
from totes.warehouse.structure import Difference, Structure, differences, read_structure
from totes.warehouse.tables import all_columns, metadata
from totes.warehouse.views import drop_views, make_views, read_rights, restore_rights, used_by_nobody, view_names
from totes.warehouse.warehouse import Warehouse


def latest_version() -> int:
    """The version that this release knows."""
    declared = [
        version
        for table in warehouse_tables().values()
        for version in (table.since, *(max(each.since, each.until or 1) for each in all_columns(table)))
    ]
    return max(declared + [_version(path) for path in _files()])


def migrate(warehouse: Warehouse) -> None:
    """Brings the schema to this release's version, in one transaction; does nothing if it has it already.

    It locks tables and views against readers for a moment. If somebody uses them, it lets other readers pass and tries
    again, for LOCK_SECONDS.

    Raises:
        VersionUnknown: a newer release has been here.
        LogBroken: the schema's recorded versions have a gap.
        DatabaseFailed: somebody else's table or view has the name of one of ours.
        ContractInvalid: a table is not as declared, so Load would fail, or a column to drop is still used.
    """
    latest = latest_version()
    with warehouse.begin():
        structure = read(warehouse)
        if _applied(warehouse, structure) == latest and not widenings(structure):
            _require_declared(structure)
            return
        warehouse.lock()
        # Another execution may have done it while this one waited.
        structure = read(warehouse)
        applied = _applied(warehouse, structure)
        require_known(structure, applied)
        _require_free(warehouse, structure, applied)
        wider = widenings(structure)
        if applied < latest or wider:
            locks.change_when_free(warehouse.connection, lambda: _bring_from(warehouse, applied, wider))
        _require_declared(read(warehouse))


def applied_version(warehouse: Warehouse) -> int:
    """The version that the schema has; 0 where there is none. It may be one that this release does not know.

    Raises:
        LogBroken, DatabaseFailed: see `migrate`.
    """
    return _applied(warehouse, read(warehouse))


def read(warehouse: Warehouse) -> Structure:
    """Reads the warehouse's relations from its catalogue."""
    at = warehouse.schemas
    names = [name for table in warehouse_tables().values() for name in (table.name, *view_names(table))]
    return read_structure(warehouse.connection, at.stars, at.log, names)


def found_differences(structure: Structure) -> list[Difference]:
    """Returns the differences between the warehouse, which must have this release's version, and the declarations."""
    return [*differences(warehouse_tables(), structure, latest_version() + 1)]


def _applied(warehouse: Warehouse, structure: Structure) -> int:
    if "schema_version" not in structure.log:
        return 0
    log = warehouse.schemas.log
    if not structure.has_our_log:
        raise DatabaseFailed(
            f"The warehouse has a table {log}.schema_version that is not the one of totes: its columns are others, or "
            f"{log}.batch is not beside it. Nothing was changed.",
            "Let the warehouse's secret name a database of its own, or rename that schema.",
        )
    versions = [*warehouse.execute("schema_versions").scalars()]
    last = max(versions, default=0)
    if not versions or (last <= latest_version() and versions != [*range(1, last + 1)]):
        raise LogBroken(
            f"{log}.schema_version holds the versions {', '.join(map(str, versions)) or 'none'}, and should hold each "
            "from 1 on. Nothing was changed.",
            f"Restore the rows of {log}.schema_version, or drop the warehouse's tables and the schema {log}: the next "
            "run loads it again from batch 1.",
        )
    return last


def require_known(structure: Structure, applied: int) -> None:
    """Raises VersionUnknown if a newer release than this one has been here."""
    if applied <= latest_version():
        return
    undeclared = [
        f"{table.name}.{name}"
        for table in warehouse_tables().values()
        if table.name in structure.stars
        for name in structure.stars[table.name].columns
        if name not in {column.name for column in table.columns}
    ]
    found = f"The warehouse's schema has version {applied}; this release knows up to {latest_version()}."
    remedy = "Deploy the release that made it, or a later one."
    if undeclared:
        found += f" It has {', '.join(undeclared)}, which schemas/ does not declare."
        remedy += (
            f" To drop a column, restore its line in schemas/ and add `until = {applied + 1}`: the next Load then "
            "drops it."
        )
    raise VersionUnknown(found, remedy)


def _require_free(warehouse: Warehouse, structure: Structure, applied: int) -> None:
    """Raises DatabaseFailed if something that a migration is about to make is there already."""
    names = [name for path in _files() if _version(path) > applied for name in log_tables(path)]
    taken = [f"{warehouse.schemas.log}.{name}" for name in names if name in structure.log]
    for table in warehouse_tables().values():
        if table.since > applied:
            taken += [name for name in (table.name, *view_names(table)) if name in structure.stars]
    if taken:
        raise DatabaseFailed(
            f"The warehouse has {', '.join(taken)} already, which no migration of totes made. Nothing was changed.",
            "Rename or drop them, or let the warehouse's secret name a database of its own.",
        )


def _require_declared(structure: Structure) -> None:
    if stopping := [each for each in found_differences(structure) if each.stops]:
        raise ContractInvalid(
            f"The warehouse is not as declared: {'; '.join(each.found for each in stopping)}. Nothing was changed.",
            " ".join(dict.fromkeys(each.remedy for each in stopping)),
        )


def widenings(structure: Structure) -> dict[str, list[Column]]:
    """Returns, by table, the columns that are declared wider than they are, so Load brings them forward in place."""
    wider = {
        table.name: [column for column in table.columns if structure.is_to_widen(table, column)]
        for table in warehouse_tables().values()
    }
    return {table: columns for table, columns in wider.items() if columns}


def column_names(columns: Mapping[str, Sequence[Column]]) -> str:
    """Returns columns with their tables' names, for a message."""
    return ", ".join(f"{table}.{column.name}" for table, of_table in columns.items() for column in of_table)


def _bring_from(warehouse: Warehouse, applied: int, wider: Mapping[str, Sequence[Column]]) -> None:
    """Brings the schema forward from a version to the latest, and its views and comments with it."""
    latest = latest_version()
    rights = read_rights(warehouse)
    for name, columns in wider.items():
        _widen(warehouse, warehouse_tables()[name], columns)
    for version in range(applied + 1, latest + 1):
        _bring_forward(warehouse, version)
    for table in warehouse_tables().values():
        if table.is_fact:
            make_views(warehouse, table)
    _comment(warehouse, latest)
    restore_rights(warehouse, rights)


def _bring_forward(warehouse: Warehouse, version: int) -> None:
    stars = warehouse.schemas.stars
    if version == 1:
        _run(warehouse, declarations.SCHEMAS / "warehouse" / "schema_version.sql")
    tables = [table for table in warehouse_tables().values() if table.since <= version]
    for table in tables:
        made = metadata(stars, version).tables[f"{stars}.{table.name}"]
        if table.since == version:
            made.create(warehouse.connection)
            continue
        for column in all_columns(table):
            if column.since == version:
                _add_column(warehouse, made, column)
    for path in _files():
        if _version(path) == version:
            _run(warehouse, path)
    for table in tables:
        for column in table.former_columns:
            if column.until == version:
                _drop_column(warehouse, table, column)
    warehouse.execute("add_schema_version", {"version": version})


def _add_column(warehouse: Warehouse, table: sqlalchemy.Table, column: Column) -> None:
    definition = f"{CreateColumn(table.c[column.name]).compile(dialect=warehouse.connection.dialect)}"
    if column.references:
        key = warehouse_tables()[column.references].key
        definition += f" REFERENCES {warehouse.star(column.references)} ({quoted(key)})"
    warehouse.run(f"ALTER TABLE {warehouse.star(table.name)} ADD COLUMN {definition}")


def _drop_column(warehouse: Warehouse, table: WarehouseTable, column: Column) -> None:
    """Drops a column and the fact's views, which show it; the views are made again after the last version."""
    with used_by_nobody(f"Column {table.name}.{column.name} can't be dropped"):
        drop_views(warehouse, table)
        warehouse.run(f"ALTER TABLE {warehouse.star(table.name)} DROP COLUMN {quoted(column.name)}")


def _widen(warehouse: Warehouse, table: WarehouseTable, columns: Sequence[Column]) -> None:
    """Gives columns their declared types, all in one rewrite of the table, whose views are made again at the end."""
    changes = []
    for column in columns:
        changes.append(f"ALTER COLUMN {quoted(column.name)} TYPE {column.type_row.name}")
        if column.default is not None and column.since > table.since:
            # As in a schema that is made from empty; else the default, a number, stays one of the narrower type.
            changes.append(f"ALTER COLUMN {quoted(column.name)} SET DEFAULT '{column.default}'")
    names = column_names({table.name: columns})
    with used_by_nobody(f"{names} can't be brought forward to the declared type"):
        drop_views(warehouse, table)
        warehouse.run(f"ALTER TABLE {warehouse.star(table.name)} {', '.join(changes)}")


def _comment(warehouse: Warehouse, version: int) -> None:
    for table in metadata(warehouse.schemas.stars, version).tables.values():
        warehouse.connection.execute(SetTableComment(table))
        for column in table.columns:
            warehouse.connection.execute(SetColumnComment(column))


def _run(warehouse: Warehouse, ddl: Path) -> None:
    warehouse.run(warehouse.schemas.fill_in(ddl.read_text(encoding="utf-8")))


def _files() -> list[Path]:
    return sorted((declarations.SCHEMAS / "warehouse").glob("[0-9]*_*.sql"))


def _version(path: Path) -> int:
    return int(path.name.partition("_")[0])
