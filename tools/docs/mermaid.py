"""Drawings of tables, as Mermaid, which GitHub draws: how they refer to each other, and what comes from where."""

from collections.abc import Iterator, Mapping, Sequence

from cli.dictionary import lineage, references
from totes.contracts.declarations import Column, SourceTable, WarehouseTable, source_tables, warehouse_tables


def relations(tables: Mapping[str, SourceTable] | Mapping[str, WarehouseTable]) -> str:
    """Returns the tables with their keys, and which refers to which by what columns."""
    found = references(tables)
    # From left to right a star is narrow enough to be read.
    entities = (line for table in tables.values() for line in _entity(table))
    lines = ["direction LR", *entities, *map(_relation, found, found.values())]
    return _drawing("erDiagram", lines)


def flow() -> str:
    """Returns which tables of the warehouse are made from which of totesys."""
    pairs = lineage()
    lines = [
        'subgraph source ["totesys"]',
        *(f"    {name}" for name in source_tables()),
        "end",
        'subgraph warehouse ["warehouse"]',
        *(f"    {name}" for name in warehouse_tables()),
        "end",
        *(f"{source} --> {table}" for source, table in pairs),
    ]
    return _drawing("flowchart LR", lines)


def _entity(table: SourceTable | WarehouseTable) -> Iterator[str]:
    yield f"{table.name} {{"
    for column in table.columns:
        marks = [*["PK"] * (column.name == table.key), *["FK"] * (column.references is not None)]
        if marks:
            yield f"    {_type(column)} {column.name} {', '.join(marks)}"
    yield "}"


def _type(column: Column) -> str:
    """Returns a type without what Mermaid takes for a part of its own."""
    return column.type.partition("(")[0].replace(" ", "_").strip('"')


def _relation(pair: tuple[str, str], columns: Sequence[Column]) -> str:
    table, referenced = pair
    optional = "o" if all(column.nullable for column in columns) else "|"
    first, *others = (column.name for column in columns)
    more = f" and {len(others)} more" if others else ""
    return f'{referenced} |{optional}--o{{ {table} : "{first}{more}"'


def _drawing(kind: str, lines: Sequence[str]) -> str:
    return "\n".join(["```mermaid", kind, *(f"    {line}" for line in lines), "```"])
