"""Does what totesys holds agree with its contract? What does not is named: table, key, column, expected, found."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from totes.contracts.arrow import arrow_type
from totes.contracts.currencies import currency_names
from totes.contracts.declarations import Column, SourceTable
from totes.errors import SHOWN, AccessDenied, ContractViolation, TotesError
from totes.lake.keys import repeated_keys
from totes.postgres.catalogue import PARTITIONED, CatalogueTable, Relation

_LONGEST_VALUE = 80
_HEAP = "heap"
# Of pg_class.relkind.
_KINDS = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}


@dataclass(frozen=True)
class Violation:
    """One value that its contract does not allow. `key` is None where the key itself can't be read."""

    table: str
    key: object
    column: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.column} is {self.found}, expected {self.expected}"


def check_catalogue(tables: Mapping[str, SourceTable], found: Mapping[str, CatalogueTable]) -> dict[str, list[str]]:
    """Compares the contracts with the catalogue, before a row is read.

    Returns:
        the columns that no contract declares, by table; they are left out.

    Raises:
        ContractViolation: a table or column is missing or has another type, or a relation of another kind has its name.
        AccessDenied: a column may not be read, or row-level security may hide rows.
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


def violations(table: SourceTable, rows: pa.Table, unavailable: Mapping[str, pa.Array]) -> list[Violation]:
    """NULLs, unknown values and texts that are no dates, out of typed rows; and references to what is not to be had.

    Args:
        unavailable: by column, the keys of the referenced table that have been quarantined.
    """
    found: list[Violation] = []
    for column in table.columns:
        values = rows.column(column.name)
        for wrong, expected in _wrong(column, values, unavailable.get(column.name)):
            if pc.any(wrong).as_py():
                found += _violations(table, rows.filter(wrong), column, expected)
    return found


def unreadable(table: SourceTable, rows: pa.Table) -> list[Violation]:
    """The values that can't be represented in their column's type, out of rows that were read as text."""
    found: list[Violation] = []
    for column in table.columns:
        kind, texts = arrow_type(column), rows.column(column.name)
        if pa.types.is_string(kind) or pa.types.is_boolean(kind):
            continue
        bad = [number for number, text in enumerate(texts) if text.is_valid and not _castable(text, kind)]
        found += _violations(table, rows.take(pa.array(bad, pa.int64())), column, f"a value of type {column.type}")
    return found


def too_long(table: SourceTable, column: str, keys: pa.ChunkedArray, lengths: pa.ChunkedArray) -> list[Violation]:
    """Returns a violation for each text that has more bytes than its column allows.

    Args:
        keys: the keys of the rows that hold such texts.
        lengths: the bytes of each text, as text.
    """
    expected = f"at most {table.byte_limits[column]:,}"
    return [
        Violation(table.name, key, column, expected, f"{int(length):,} bytes long")
        for key, length in zip(keys.to_pylist(), lengths.to_pylist(), strict=True)
    ]


def repeated(table: SourceTable, keys: pa.Array) -> list[Violation]:
    """Returns a violation for each key that more than one row has."""
    return [repeated_key(table, key, rows) for key, rows in repeated_keys(keys).items()]


def repeated_key(table: SourceTable, key: int | None, rows: int) -> Violation:
    """Returns the violation of a key that more than one row has."""
    return Violation(table.name, key, table.key, "one row with that key", f"that of {rows} rows")


def raise_if_any(violations: list[Violation]) -> None:
    """Raises ContractViolation where there is a violation; the message shows the first five."""
    if not violations:
        return
    shown = "; ".join(str(violation) for violation in violations[:SHOWN])
    more = f"; and {len(violations) - SHOWN} more" if len(violations) > SHOWN else ""
    raise ContractViolation(
        f"totesys holds what schemas/source/{violations[0].table}.toml does not allow: {shown}{more}.",
        "Correct the rows in totesys, or change the declaration and deploy; the next run takes them up.",
    )


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
    """Returns why a relation can't be captured, if its rows bear no transaction ids for the fence; else None."""
    if relation.kind in _KINDS:
        return f"{relation.name} is {_KINDS[relation.kind]}"
    if relation.kind != PARTITIONED and relation.access_method != _HEAP:
        return f"{relation.name} is stored by {relation.access_method}"
    return None


def _wrong(
    column: Column, values: pa.ChunkedArray, unavailable: pa.Array | None
) -> Iterator[tuple[pa.ChunkedArray, str]]:
    """Masks of the values that are wrong, each with what was expected. A NULL that is allowed is never wrong."""
    if not column.nullable and values.null_count:
        yield pc.is_null(values), "a value"
    if column.values:
        yield _not_among(column.values, values), f"one of {', '.join(column.values)}"
    if column.format == "currency":
        yield _not_among(currency_names(), values), "a currency code of ISO 4217"
    if column.format == "date" and len(no_dates := _no_dates(values)):
        yield pc.is_in(values, value_set=no_dates), "a date, YYYY-MM-DD"
    if unavailable is not None and len(unavailable):
        wrong = pc.is_in(values.cast(unavailable.type), value_set=unavailable)
        yield wrong, f"a {column.references} that is not quarantined"


def _not_among(allowed: Iterable[str], values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, value_set=pa.array(allowed, pa.string()))))


def _no_dates(values: pa.ChunkedArray) -> pa.Array:
    """The texts among some that are no dates; of a date that a thousand rows have, one is looked at."""
    texts = pc.unique(values).drop_null()
    # Arrow knows a year 0; the calendar, and so PostgreSQL, does not.
    wrong = [text.as_py().startswith("0000") or not _castable(text, pa.date32()) for text in texts]
    return texts.filter(pa.array(wrong, pa.bool_()))


def _castable(text: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        text.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _violations(table: SourceTable, rows: pa.Table, column: Column, expected: str) -> list[Violation]:
    keys, values = rows.column(table.key), rows.column(column.name)
    return [
        Violation(table.name, key.as_py(), column.name, expected, _shown(value))
        for key, value in zip(keys, values, strict=True)
    ]


def _shown(value: pa.Scalar) -> str:
    if not value.is_valid:
        return "NULL"
    text = str(value.as_py())
    return repr(text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…")
