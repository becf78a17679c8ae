"""Generates Mermaid diagrams, which GitHub draws: the tables' references and lineage."""

from collections.abc import Iterator, Mapping, Sequence

from cli.dictionary import lineage, references
from totes.contracts.declarations import Column, SourceTable, WarehouseTable, source_tables, warehouse_tables


def relations(tables: Mapping[str, SourceTable] | Mapping[str, WarehouseTable]) -> str:
    """Returns an entity diagram of the tables with their keys and references."""
    found = references(tables)
    # Left to right, a star is narrow enough to read.
    entities = (line for table in tables.values() for line in _entity(table))
    lines = ["direction LR", *entities, *map(_relation, found, found.values())]
    return _drawing("erDiagram", lines)


def flow() -> str:
    """Returns a flow chart from totesys's tables to the warehouse tables made from them."""
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
    """Returns a type's name without the characters that have a meaning in Mermaid."""
    return column.type.partition("(")[0].replace(" ", "_").strip('"')


def _relation(pair: tuple[str, str], columns: Sequence[Column]) -> str:
    table, referenced = pair
    optional = "o" if all(column.nullable for column in columns) else "|"
    first, *others = (column.name for column in columns)
    more = f" and {len(others)} more" if others else ""
    return f'{referenced} |{optional}--o{{ {table} : "{first}{more}"'


def _drawing(kind: str, lines: Sequence[str]) -> str:
    return "\n".join(["```mermaid", kind, *(f"    {line}" for line in lines), "```"])
