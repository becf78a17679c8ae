"""Generates docs/data-dictionary.md from cli.dictionary, for `make docs`.

The prose between the tables is in tools/docs/data-dictionary.template.md.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from string import Template

from cli.dictionary import REFERENCES, TableDescription, described_log, described_source, described_warehouse
from tools.docs import mermaid
from tools.docs.pages import DOCS
from totes.contracts.declarations import WarehouseTable, source_tables, warehouse_tables

DICTIONARY = DOCS / "data-dictionary.md"
_TEMPLATE = Path(__file__).parent / "data-dictionary.template.md"


def files() -> dict[Path, str]:
    """Returns the generated data dictionary."""
    facts = [table for table in warehouse_tables().values() if table.is_fact]
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        source_relations=mermaid.relations(source_tables()),
        source_tables=_sections(described_source()),
        warehouse_relations=mermaid.relations(warehouse_tables()),
        warehouse_tables=_sections(described_warehouse()),
        views="\n".join(_views(facts)),
        log_tables=_sections(described_log()),
    )
    return {DICTIONARY: text}


def _sections(tables: Iterable[TableDescription]) -> str:
    return "\n\n".join(
        "\n\n".join(
            [f"### {table.name}", *table.notes, _table(table.head, map(_linked(table), table.rows)), *table.rules]
        )
        for table in tables
    )


def _linked(table: TableDescription) -> Callable[[Sequence[str]], list[str]]:
    """Returns a function that turns a row's referenced table into a link."""
    place = table.head.index(REFERENCES) if REFERENCES in table.head else None

    def linked(row: Sequence[str]) -> list[str]:
        return [f"[{cell}](#{cell})" if cell and number == place else cell for number, cell in enumerate(row)]

    return linked


def _views(facts: Iterable[WarehouseTable]) -> Iterator[str]:
    """Yields a line for each fact, with the views and functions that schemas/warehouse/views.sql defines for it."""
    for fact in facts:
        entity = fact.name.removeprefix("fact_")
        yield (
            f"- [{fact.name}](#{fact.name}): `current_{entity}`, `{entity}_history`, `{entity}_as_of(batch)`, "
            f"`{entity}_as_of(moment)`"
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("  |", " |") for cells in lines)
