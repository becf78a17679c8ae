"""Reads the warehouse's schema version, and compares the schema with the declarations.

migration.py brings the schema forward.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from totes.contracts import declarations
from totes.contracts.consistency import log_tables
from totes.contracts.declarations import Column, ContractInvalid, warehouse_tables
from totes.errors import DatabaseFailed, LogBroken, VersionUnknown
from totes.postgres import locks
from totes.warehouse.structure import Difference, Structure, differences, read_structure
from totes.warehouse.views import view_names
from totes.warehouse.warehouse import Warehouse


def latest_version() -> int:
    """Returns the latest version that this release knows."""
    declared = [
        version
        for table in warehouse_tables().values()
        for version in (table.since, *(max(each.since, each.until or 1) for each in table.all_columns))
    ]
    return max(declared + [version_of(path) for path in ddl_files()])


def migrate(warehouse: Warehouse) -> None:
    """Brings the schema to this release's version, in one transaction; does nothing if it has that version already.

    It locks tables and views against readers for a moment. If somebody uses them, it lets other readers pass and tries
    again, for LOCK_SECONDS.

    Raises:
        VersionUnknown: a newer release has changed the schema.
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
        # Another execution may have migrated the schema while this one waited.
        structure = read(warehouse)
        applied = _applied(warehouse, structure)
        require_known(structure, applied)
        _require_free(warehouse, structure, applied)
        wider = widenings(structure)
        if applied < latest or wider:
            # Imported here because SQLAlchemy takes 0.25 s, and nearly all runs need no migration.
            from totes.warehouse.migration import bring_from

            locks.change_when_free(warehouse.connection, lambda: bring_from(warehouse, applied, wider, latest))
        _require_declared(read(warehouse))


def applied_version(warehouse: Warehouse) -> int:
    """Returns the schema's version, which this release may not know; 0 if there is no schema.

    Raises:
        LogBroken: the schema's recorded versions have a gap.
        DatabaseFailed: somebody else's table has the name of one of ours.
    """
    return _applied(warehouse, read(warehouse))


def read(warehouse: Warehouse) -> Structure:
    """Reads the warehouse's relations from its catalogue."""
    at = warehouse.schemas
    names = [name for table in warehouse_tables().values() for name in (table.name, *view_names(table))]
    return read_structure(warehouse.connection, at.stars, at.log, names)


def found_differences(structure: Structure) -> list[Difference]:
    """Returns the differences between the declarations and the warehouse, which must have this release's version."""
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
    """Raises VersionUnknown if a newer release than this one has changed the schema."""
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
    """Raises DatabaseFailed if a relation that a migration is about to make exists already."""
    names = [name for path in ddl_files() if version_of(path) > applied for name in log_tables(path)]
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
    """Returns, by table, the columns that are declared wider than they are. Load widens these in place."""
    wider = {
        table.name: [column for column in table.columns if structure.is_to_widen(table, column)]
        for table in warehouse_tables().values()
    }
    return {table: columns for table, columns in wider.items() if columns}


def column_names(columns: Mapping[str, Sequence[Column]]) -> str:
    """Returns columns with their tables' names, for a message."""
    return ", ".join(f"{table}.{column.name}" for table, of_table in columns.items() for column in of_table)


def ddl_files() -> list[Path]:
    """Returns the DDL files, in the order of their versions."""
    return sorted((declarations.SCHEMAS / "warehouse").glob("[0-9]*_*.sql"))


def version_of(path: Path) -> int:
    """Returns the version to which a DDL file brings the schema."""
    return int(path.name.partition("_")[0])
