"""Quarantines rows that break their contract, if their table's declaration says `quarantine = true`.

Each run examines quarantined rows again until they are right or gone. A row may become right if it changes, if a row
that it refers to changes, or if the declaration does.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from totes.contracts.declarations import SourceTable
from totes.lake.parquet import keys_schema, parquet_writer
from totes.source.violations import Violation, raise_if_any

# The most characters that quarantine keeps of a value, because all of its rows are in memory together.
LONGEST_VALUE = 1_000


@dataclass(frozen=True)
class QuarantinedRow:
    """A quarantined row.

    Attributes:
        business_id: its key in totesys.
        reason: how it breaks its contract.
        row: the row as a JSON object of texts, each cut at LONGEST_VALUE characters; null for a text that is longer
            than its column allows.
        known: whether an earlier version was landed, so that other rows may refer to it.
    """

    business_id: int
    reason: str
    row: str
    known: bool = False


Quarantine = dict[int, QuarantinedRow]


def quarantine(table: SourceTable, wrong: list[Violation], texts: pa.Table) -> list[QuarantinedRow]:
    """Returns the quarantined rows of some violations.

    Args:
        texts: the rows, with all columns as text.

    Raises:
        ContractViolation: the table's declaration does not allow quarantine.
    """
    if not table.quarantine:
        raise_if_any(wrong)
    reasons: dict[str, list[str]] = {}
    for violation in wrong:
        reasons.setdefault(str(violation.key), []).append(str(violation))
    return [
        QuarantinedRow(int(row[table.key]), "; ".join(reasons[row[table.key]]), json.dumps(row, ensure_ascii=False))
        for row in texts.to_pylist()
        if row[table.key] in reasons
    ]


def abridged(texts: pa.Table) -> pa.Table:
    """Returns rows with their texts cut at LONGEST_VALUE characters."""
    return pa.table([_abridged(values) for values in texts.columns], names=texts.schema.names)


def quarantine_schema(table: SourceTable) -> pa.Schema:
    """Returns the schema of `aside` in both zones."""
    return pa.schema(
        [
            pa.field("business_id", keys_schema(table).types[0], nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("row", pa.string(), nullable=False),
            pa.field("known", pa.bool_(), nullable=False),
        ]
    )


def write_quarantine(path: Path, table: SourceTable, rows: Iterable[QuarantinedRow]) -> int:
    """Writes rows in the order of their keys; returns how many there are."""
    schema = quarantine_schema(table)
    ordered = sorted(rows, key=lambda row: row.business_id)
    with parquet_writer(path, schema) as writer:
        writer.write(pa.Table.from_pylist([asdict(row) for row in ordered], schema))
    return len(ordered)


def read_quarantine(path: Path) -> Quarantine:
    """Reads a file's rows, by key."""
    return {row["business_id"]: QuarantinedRow(**row) for row in pq.read_table(path).to_pylist()}


def _abridged(values: pa.ChunkedArray) -> pa.ChunkedArray:
    cut = pc.binary_join_element_wise(pc.utf8_slice_codeunits(values, 0, LONGEST_VALUE), "…", "")
    return pc.if_else(pc.greater(pc.utf8_length(values), LONGEST_VALUE), cut, values)
