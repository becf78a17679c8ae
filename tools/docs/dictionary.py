"""docs/data-dictionary.md out of the contracts and the warehouse's DDL, written by `make docs`.

The prose between the tables is tools/docs/data-dictionary.template.md.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from string import Template

from tools.docs.pages import DOCS
from totes.contracts.arrow import arrow_type, processed_type
from totes.contracts.declarations import SCHEMAS, Column, SourceTable, WarehouseTable, source_tables, warehouse_tables
from totes.warehouse.warehouse import LIVE

DICTIONARY = DOCS / "data-dictionary.md"
_FORMATS = {"date": "Refused where it is no date.", "currency": "Refused where ISO 4217 does not know it."}
_TEMPLATE = Path(__file__).parent / "data-dictionary.template.md"

_CREATE_TABLE = re.compile(r"CREATE TABLE (etl\.\w+) \(\n(.*?)\n\);", re.DOTALL)
# A line that begins with a capital is a constraint of the table.
_CREATE_COLUMN = re.compile(r"^    ([a-z]\w*) (.+?),?$", re.MULTILINE)
_ADD_COLUMN = re.compile(r"ALTER TABLE (etl\.\w+) ADD COLUMN (\w+) (.+);")
_NEW_TYPE = re.compile(r"ALTER TABLE (etl\.\w+) ALTER COLUMN (\w+) TYPE (\w+);")
_COMMENT = re.compile(r"COMMENT ON (?:TABLE|COLUMN) (etl\.[\w.]+) IS '((?:[^']|'')*)';")


def files() -> dict[Path, str]:
    """The data dictionary, as it should be."""
    facts = [table for table in warehouse_tables().values() if table.is_fact]
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        source_tables="\n\n".join(map(_source_table, source_tables().values())),
        warehouse_tables="\n\n".join(map(_warehouse_table, warehouse_tables().values())),
        views="\n".join(_views(facts)),
        log_tables="\n\n".join(_log_tables()),
    )
    return {DICTIONARY: text}


def _source_table(table: SourceTable) -> str:
    rows = [
        (
            f"`{column.name}`",
            f"{column.type}{_null(column)}",
            str(arrow_type(column)),
            _reference(column),
            column.meaning + _restriction(column),
        )
        for column in table.columns
    ]
    head = ("Column", "In totesys", "In Parquet", "References", "Meaning")
    aside = " A row that breaks its contract is quarantined." if table.quarantine else ""
    return f"### {table.name}\n\n{table.meaning} Key: `{table.key}`.{aside}\n\n{_table(head, rows)}"


def _warehouse_table(table: WarehouseTable) -> str:
    rows = [
        (
            f"`{column.name}`",
            f"{column.type}{_null(column)}",
            "" if column.is_assigned else str(processed_type(column)),
            _origin(table, column),
            _reference(column),
            column.meaning + _restriction(column) + _since(column),
        )
        for column in table.columns
    ]
    head = ("Column", "In the warehouse", "In Parquet", "From", "References", "Meaning")
    checks = "".join(f"\n\nBefore a batch is committed, `{check.name}`: {check.rule}" for check in table.checks)
    return f"### {table.name}\n\n{table.meaning}\n\n{_summary(table)}\n\n{_table(head, rows)}{checks}"


def _summary(table: WarehouseTable) -> str:
    said = [f"Grain: {table.grain}", f"Kind: {table.kind}. Key: `{table.key}`."]
    if table.business_key:
        said.append(f"The versions of one thing share `{table.business_key}`.")
    if table.source:
        joins = [f" joined with {other} on `{column}`" for other, column in table.join.items()]
        said.append(f"Made from {table.source}{''.join(joins)}.")
    return " ".join(said)


def _origin(table: WarehouseTable, column: Column) -> str:
    if column.origin is None:
        return "given by the warehouse" if column.is_assigned else f"calculated from `{table.key}`"
    said = f"`{column.origin}`"
    if column.derive:
        said += f", by `{column.derive}` in totes/contracts/derivations.py"
    if column.default is not None:
        said += f"; `{column.default}` where that is NULL"
    return said


def _null(column: Column) -> str:
    return ", nullable" if column.nullable else ""


def _reference(column: Column) -> str:
    return f"[{column.references}](#{column.references})" if column.references else ""


def _restriction(column: Column) -> str:
    if column.values:
        return f" One of {', '.join(column.values)}."
    limit = f" At most {column.max_bytes:,} bytes." if column.max_bytes else ""
    return (f" {_FORMATS[column.format]}" if column.format else "") + limit


def _since(column: Column) -> str:
    return f" Since version {column.since} of the schema." if column.since > 1 else ""


def _views(facts: Iterable[WarehouseTable]) -> Iterator[str]:
    """The list of the views and functions that schemas/warehouse/views.sql makes of each fact."""
    for fact in facts:
        entity = fact.name.removeprefix("fact_")
        yield (
            f"- [{fact.name}](#{fact.name}): `current_{entity}`, `{entity}_history`, `{entity}_as_of(batch)`, "
            f"`{entity}_as_of(moment)`"
        )


def _log_tables() -> Iterator[str]:
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
        yield f"### {table}\n\n{meanings.get(table, '')}\n\n{_table(head, rows)}"


def _redefined(definition: str, kind: str | None) -> str:
    """Returns a column's definition with the type that a later version gave it, if one did."""
    return f"{kind} {definition.partition(' ')[2]}" if kind else definition


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("  |", " |") for cells in lines)
