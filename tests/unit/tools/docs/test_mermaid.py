"""The drawings have every declared reference and origin, and nothing else."""

import re

import pytest

from tools.docs import mermaid
from totes.contracts.declarations import SourceTable, WarehouseTable, source_tables, warehouse_tables

ENTITY = re.compile(r"^    (\w+) \{$", re.MULTILINE)
RELATION = re.compile(r'^    (\w+) \|[|o]--o\{ (\w+) : "[\w ]+"$', re.MULTILINE)
MEMBER = re.compile(r"^ {8}\w+ \w+ (?:PK|FK|PK, FK)$|^ {8}\w+$")


@pytest.mark.parametrize("tables", [source_tables(), warehouse_tables()], ids=["totesys", "warehouse"])
def test_relations_are_those_that_are_declared(tables: dict[str, SourceTable] | dict[str, WarehouseTable]) -> None:
    drawing = mermaid.relations(tables)
    assert ENTITY.findall(drawing) == list(tables)
    declared = {
        (column.references, table.name) for table in tables.values() for column in table.columns if column.references
    }
    found = RELATION.findall(drawing)
    assert set(found) == declared
    assert len(found) == len(declared)
    for table in tables.values():
        keys = [column for column in table.columns if column.references or column.name == table.key]
        assert all(re.search(rf"^ {{8}}\w+ {column.name} ", drawing, re.MULTILINE) for column in keys)


def test_lineage_is_that_of_the_origins() -> None:
    declared = {
        (column.origin.partition(".")[0], table.name)
        for table in warehouse_tables().values()
        for column in table.columns
        if column.origin
    }
    found = re.findall(r"^    (\w+) --> (\w+)$", mermaid.flow(), re.MULTILINE)
    assert set(found) == declared
    assert len(found) == len(declared)


@pytest.mark.parametrize("drawing", [mermaid.flow(), mermaid.relations(warehouse_tables())], ids=["flow", "relations"])
def test_every_line_is_of_a_known_kind(drawing: str) -> None:
    """Mermaid itself needs a browser, and GitHub draws nothing if one line is wrong."""
    first, kind, *lines, last = drawing.split("\n")
    assert (first, last) == ("```mermaid", "```")
    assert kind in ("flowchart LR", "erDiagram")
    known = (ENTITY, RELATION, MEMBER, re.compile(r'^    (?:direction LR|\}|end|\w+ --> \w+|subgraph \w+ \["\w+"\])$'))
    assert [line for line in lines if not any(pattern.match(line) for pattern in known)] == []
