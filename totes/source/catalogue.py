"""Compares the catalogue of totesys with the contracts, and names each difference before a row is read."""

from collections.abc import Iterator, Mapping

from totes.contracts.declarations import SourceTable
from totes.errors import SHOWN, AccessDenied, ContractViolation, TotesError
from totes.postgres.catalogue import PARTITIONED, CatalogueTable, Relation

_HEAP = "heap"
# By pg_class.relkind.
_KINDS = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}


def check_catalogue(tables: Mapping[str, SourceTable], found: Mapping[str, CatalogueTable]) -> dict[str, list[str]]:
    """Compares the contracts with the catalogue, before a row is read.

    Returns:
        the columns that no contract declares, by table. Ingest doesn't read them.

    Raises:
        ContractViolation: a table or column is missing or has another type, or the table's name belongs to a relation
            of another kind.
        AccessDenied: the user may not read a column, or row-level security may hide rows.
    """
    for refusal in refusals(tables, found):
        raise refusal
    return {name: unknown for name, table in found.items() if (unknown := _undeclared(tables[name], table))}


def refusals(tables: Mapping[str, SourceTable], found: Mapping[str, CatalogueTable]) -> Iterator[TotesError]:
    """Yields each error that stops Ingest from reading these tables; Ingest raises the first."""
    differences = {name: list(_differences(table, found.get(name))) for name, table in tables.items()}
    if different := {name: texts for name, texts in differences.items() if texts}:
        yield ContractViolation(
            "totesys is not as declared: " + "; ".join(text for texts in different.values() for text in texts) + ".",
            "Change the declarations in schemas/ and deploy, or undo the change in totesys.",
        ).about(different)
    if refused := sorted(name for name, table in found.items() if not _is_readable(tables[name], table)):
        yield AccessDenied(
            f"The user may not read {', '.join(refused)} of totesys.",
            f"GRANT SELECT ON {', '.join(refused)} to the user that the source's secret names.",
        ).about(refused)
    if hiding := sorted(name for name, table in found.items() if table.hides_rows):
        yield AccessDenied(
            f"Row-level security of totesys may hide rows of {', '.join(hiding)}, which would look deleted.",
            "ALTER ROLE … BYPASSRLS for the user that the source's secret names. A policy that shows it all rows is "
            "not enough, because Ingest can't see whether a policy does.",
        ).about(hiding)


def _undeclared(declared: SourceTable, found: CatalogueTable) -> list[str]:
    names = {column.name for column in declared.columns}
    return [column.name for column in found.columns if column.name not in names]


def _is_readable(declared: SourceTable, found: CatalogueTable) -> bool:
    names = {column.name for column in declared.columns}
    return all(column.readable for column in found.columns if column.name in names)


def _differences(table: SourceTable, found: CatalogueTable | None) -> Iterator[str]:
    if found is None:
        yield f"table {table.name} is not there"
        return
    if refused := [reason for relation in found.relations if (reason := _refused(relation))]:
        yield f"table {table.name}: {', '.join(refused[:SHOWN])}, expected a table whose rows bear ids of transactions"
        return
    new = _undeclared(table, found)
    instead = f" (while {', '.join(new[:SHOWN])} {'is' if len(new) == 1 else 'are'} there, which no contract declares)"
    columns = {column.name: column for column in found.columns}
    for column in table.columns:
        actual = columns.get(column.name)
        if actual is None:
            yield f"column {table.name}.{column.name} is not there{instead if new else ''}"
        elif actual.type != (expected := column.type_row.catalogue_name):
            yield f"column {table.name}.{column.name} has type {actual.type}, expected {expected}"


def _refused(relation: Relation) -> str | None:
    """Returns why a relation can't be captured, because its rows have no transaction ids; None if they have."""
    if relation.kind in _KINDS:
        return f"{relation.name} is {_KINDS[relation.kind]}"
    if relation.kind != PARTITIONED and relation.access_method != _HEAP:
        return f"{relation.name} is stored by {relation.access_method}"
    return None
