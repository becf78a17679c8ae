"""Generates CONTRIBUTING.md's table of column types from totes.contracts.types."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from local.aws.deployment import ROOT
from tools.docs.pages import with_parts
from totes.contracts.types import ROWS, Type

_PAGE = ROOT / "CONTRIBUTING.md"
_NOTES = {"source": "key", "fact": "key of a fact", "calendar": "key of the calendar"}


def files() -> dict[Path, str]:
    """Returns the page with the generated part."""
    return {_PAGE: with_parts(_PAGE, {"types": _table()})}


def _table() -> str:
    head = ["| Type | Declared for | In the lake | Becomes | Widens in place to |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *map(_line, ROWS), ""])


def _line(row: Type) -> str:
    cells = [f"`{row.name}`", ", ".join(_places(row)), _in_lake(row), _listed(row.becomes), _listed(row.widens_to)]
    return f"| {' | '.join(cells)} |".replace("  |", " |")


def _places(row: Type) -> Iterator[str]:
    yield from ["totesys"] * row.in_source
    yield from ["warehouse"] * row.in_warehouse
    yield from (note for kind, note in _NOTES.items() if kind in row.keys)


def _in_lake(row: Type) -> str:
    if row.is_assigned:
        return "not there"
    return "as its origin" if row.like_origin else row.glue.format("p", "s")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
