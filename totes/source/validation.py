"""Compares rows of totesys with their contract. Each violation names table, key, column, expected and found."""

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from totes.contracts.arrow import arrow_type
from totes.contracts.currencies import currency_names
from totes.contracts.declarations import Column, SourceTable
from totes.lake.keys import Keys
from totes.source.violations import Violation, repeated_key

_LONGEST_VALUE = 80


def violations(table: SourceTable, rows: pa.Table, unavailable: Mapping[str, pa.Array]) -> list[Violation]:
    """Returns the violations of typed rows: NULLs, unknown values, texts that are not dates, bad references.

    Args:
        unavailable: by column, the keys of the referenced table that are quarantined.
    """
    found: list[Violation] = []
    for column in table.columns:
        values = rows.column(column.name)
        for wrong, expected in _wrong(column, values, unavailable.get(column.name)):
            if pc.any(wrong).as_py():
                found += _violations(table, rows.filter(wrong), column, expected)
    return found


def unreadable(table: SourceTable, rows: pa.Table) -> list[Violation]:
    """Returns a violation for each value that does not fit its column's type, in rows that were read as text."""
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


def repeated(table: SourceTable, keys: Keys) -> list[Violation]:
    """Returns a violation for each key that more than one row has."""
    return [repeated_key(table, key, rows) for key, rows in keys.repeated().items()]


def _wrong(
    column: Column, values: pa.ChunkedArray, unavailable: pa.Array | None
) -> Iterator[tuple[pa.ChunkedArray, str]]:
    """Yields masks of the wrong values, each with the expected value. An allowed NULL is never wrong."""
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
    """Returns the distinct texts that are not dates, so a text that many rows have is parsed once."""
    texts = pc.unique(values).drop_null()
    # Arrow accepts a year 0; the calendar, and so PostgreSQL, does not.
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
