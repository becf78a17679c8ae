"""Describes each table and column, from the contracts and the warehouse's DDL, for the data dictionary and reports.

The texts are inline Markdown: names of columns and values are in backticks.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from totes.contracts.arrow import arrow_type, processed_type
from totes.contracts.declarations import SCHEMAS, Column, SourceTable, WarehouseTable, source_tables, warehouse_tables
from totes.warehouse.warehouse import LIVE

REFERENCES = "References"
_FORMATS = {"date": "Rejected if it is not a date.", "currency": "Rejected if it is not a code of ISO 4217."}

_CREATE_TABLE = re.compile(r"CREATE TABLE (etl\.\w+) \(\n(.*?)\n\);", re.DOTALL)
# Skips lines that start with a capital letter: they are constraints.
_CREATE_COLUMN = re.compile(r"^    ([a-z]\w*) (.+?),?$", re.MULTILINE)
_ADD_COLUMN = re.compile(r"ALTER TABLE (etl\.\w+) ADD COLUMN (\w+) (.+);")
_NEW_TYPE = re.compile(r"ALTER TABLE (etl\.\w+) ALTER COLUMN (\w+) TYPE (\w+);")
_COMMENT = re.compile(r"COMMENT ON (?:TABLE|COLUMN) (etl\.[\w.]+) IS '((?:[^']|'')*)';")


@dataclass(frozen=True)
class TableDescription:
    """A table's description.

    Attributes:
        notes: the table's meaning, in paragraphs.
        head: the headings of `rows`. A cell under `References` is just a table's name.
        rows: one for each column.
        rules: the checks that its rows pass, in paragraphs.
    """

    name: str
    notes: Sequence[str]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    rules: Sequence[str] = ()


def described_source() -> list[TableDescription]:
    """Describes the tables of totesys."""
    return [_source_table(table) for table in source_tables().values()]


def described_warehouse() -> list[TableDescription]:
    """Describes the facts and dimensions."""
    return [_warehouse_table(table) for table in warehouse_tables().values()]


def described_log() -> list[TableDescription]:
    """Describes the tables of the warehouse's log."""
    return list(_log_tables())


def references(tables: Mapping[str, SourceTable] | Mapping[str, WarehouseTable]) -> dict[tuple[str, str], list[Column]]:
    """Returns the referencing columns of each pair (table, referenced table)."""
    found: dict[tuple[str, str], list[Column]] = {}
    for table in tables.values():
        for column in table.columns:
            if column.references:
                found.setdefault((table.name, column.references), []).append(column)
    return found


def lineage() -> list[tuple[str, str]]:
    """Returns each pair (totesys table, warehouse table) in which the second has columns from the first."""
    pairs = (
        (column.origin.partition(".")[0], table.name)
        for table in warehouse_tables().values()
        for column in table.columns
        if column.origin
    )
    return list(dict.fromkeys(pairs))


def _source_table(table: SourceTable) -> TableDescription:
    rows = [
        (
            f"`{column.name}`",
            f"{column.type}{_null(column)}",
            str(arrow_type(column)),
            column.references or "",
            column.meaning + _restriction(column),
        )
        for column in table.columns
    ]
    head = ("Column", "In totesys", "In Parquet", REFERENCES, "Meaning")
    quarantine = " A row that breaks its contract is quarantined." if table.quarantine else ""
    return TableDescription(table.name, [f"{table.meaning} Key: `{table.key}`.{quarantine}"], head, rows)


def _warehouse_table(table: WarehouseTable) -> TableDescription:
    rows = [
        (
            f"`{column.name}`",
            f"{column.type}{_null(column)}",
            "" if column.is_assigned else str(processed_type(column)),
            _origin(table, column),
            column.references or "",
            column.meaning + _restriction(column) + _since(column),
        )
        for column in table.columns
    ]
    head = ("Column", "In the warehouse", "In Parquet", "From", REFERENCES, "Meaning")
    rules = [f"Checked before a batch is committed, `{check.name}`: {check.rule}" for check in table.checks]
    return TableDescription(table.name, [table.meaning, _summary(table)], head, rows, rules)


def _summary(table: WarehouseTable) -> str:
    said = [f"Grain: {table.grain}", f"Kind: {table.kind}. Key: `{table.key}`."]
    if table.business_key:
        said.append(f"All versions of a row share `{table.business_key}`.")
    if table.source:
        joins = [f" joined with {other} on `{column}`" for other, column in table.join.items()]
        said.append(f"Made from {table.source}{''.join(joins)}.")
    return " ".join(said)


def _origin(table: WarehouseTable, column: Column) -> str:
    if column.origin is None:
        return "assigned by the warehouse" if column.is_assigned else f"calculated from `{table.key}`"
    said = f"`{column.origin}`"
    if column.derive:
        said += f", by `{column.derive}` in totes/contracts/derivations.py"
    if column.default is not None:
        said += f"; `{column.default}` if that is NULL"
    return said


def _null(column: Column) -> str:
    return ", nullable" if column.nullable else ""


def _restriction(column: Column) -> str:
    if column.values:
        return f" One of {', '.join(column.values)}."
    limit = f" At most {column.max_bytes:,} bytes." if column.max_bytes else ""
    return (f" {_FORMATS[column.format]}" if column.format else "") + limit


def _since(column: Column) -> str:
    return f" Since version {column.since} of the schema." if column.since > 1 else ""


def _log_tables() -> Iterator[TableDescription]:
    files = sorted((SCHEMAS / "warehouse").glob("*.sql"))
    ddl = "\n".join(path.read_text(encoding="utf-8") for path in files).replace("{log}", LIVE.log)
    meanings = {name: text.replace("''", "'") for name, text in _COMMENT.findall(ddl)}
    added = _ADD_COLUMN.findall(ddl)
    types = {(table, column): kind for table, column, kind in _NEW_TYPE.findall(ddl)}
    for table, body in _CREATE_TABLE.findall(ddl):
        columns = [*_CREATE_COLUMN.findall(body), *(column[1:] for column in added if column[0] == table)]
        rows = [
            (f"`{column}`", _redefined(definition, types.get((table, column))), meanings.get(f"{table}.{column}", ""))
            for column, definition in columns
        ]
        head = ("Column", "Declared as", "Meaning")
        yield TableDescription(table, [meanings.get(table, "")], head, rows)


def _redefined(definition: str, kind: str | None) -> str:
    """Returns a column's definition, with its new type if a later version changed the type."""
    return f"{kind} {definition.partition(' ')[2]}" if kind else definition
