"""Reads the versions of orders and payments from the warehouse, and lists the amended ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cli.render.terminal import Row
from totes.contracts.declarations import warehouse_tables

if TYPE_CHECKING:
    from totes.postgres.driver import PipelineConnection

BOOKKEEPING = ("version", "batch_id", "valid_from", "valid_to", "deleted")
AMENDED = ("entity", "id", "versions", "amended_at", "changed")


@dataclass(frozen=True)
class Entity:
    """A fact with a history. Its name is the prefix of its views' names."""

    name: str
    words: str
    option: str = ""

    def line(self, given: object) -> str:
        """Returns the arguments of `totes` that show an id's versions; `given` may be another argument, too."""
        return f"history {self.option}{given}"

    @property
    def key(self) -> str:
        return f"{self.name}_id"

    @property
    def view(self) -> str:
        return f"{self.name}_history"

    @property
    def ids(self) -> range:
        """Returns the range of its possible ids."""
        return warehouse_tables()[f"fact_{self.name}"].column(self.key).type_row.ids


SALES_ORDER = Entity("sales_order", "sales order")
PURCHASE_ORDER = Entity("purchase_order", "purchase order", "--purchase ")
PAYMENT = Entity("payment", "payment", "--payment ")
# Payments are not listed as amended: each gets a second version on the day it is paid.
ORDERS = (SALES_ORDER, PURCHASE_ORDER)


def read_versions(connection: "PipelineConnection", entity: Entity, order: int) -> list[dict[str, Any]]:
    """Reads an id's rows from the history view, oldest first; empty if the warehouse never had this id."""
    statement = f"SELECT * FROM {entity.view} WHERE {entity.key} = :id ORDER BY version"  # noqa: S608  its own names
    return connection.execute(statement, {"id": order}).mappings()


def with_changes(versions: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the versions, each with the columns that changed since the version before."""
    before = [versions[0], *versions]
    return [
        {**version, "changed": [column for column in values_of(version) if version[column] != previous[column]]}
        for previous, version in zip(before, versions, strict=False)
    ]


def read_amended(
    connection: "PipelineConnection", entities: Sequence[Entity], limit: int
) -> tuple[list[dict[str, Any]], int]:
    """Returns the orders or payments with several versions, latest amendment first, and their count without the limit.

    Each has the fields of AMENDED. `changed` lists every column that changed since the first version, and `deleted`
    after a deletion.
    """
    found, count = [], 0
    for entity in entities:
        rows, of_this = _amended_of(connection, entity, limit)
        found += rows
        count += of_this
    return sorted(found, key=lambda row: row["amended_at"], reverse=True)[:limit], count


def _amended_of(connection: "PipelineConnection", entity: Entity, limit: int) -> tuple[list[dict[str, Any]], int]:
    newest = (
        f"SELECT {entity.key} AS id, count(*) OVER () AS found FROM {entity.view} GROUP BY {entity.key} "  # noqa: S608  its own names
        f"HAVING count(*) > 1 ORDER BY max(valid_from) DESC, {entity.key} LIMIT :limit"
    )
    found = connection.execute(newest, {"limit": limit}).all()
    if not found:
        return [], 0
    statement = f"SELECT * FROM {entity.view} WHERE {entity.key} = ANY(:ids) ORDER BY {entity.key}, version"  # noqa: S608  its own names
    rows = connection.execute(statement, {"ids": [row.id for row in found]}).mappings()
    versions = {order: list(those) for order, those in groupby(rows, lambda row: row[entity.key])}
    return [_amended(entity, versions[row.id]) for row in found], found[0].found


def _amended(entity: Entity, versions: Sequence[Row]) -> dict[str, Any]:
    changed = dict.fromkeys(column for version in with_changes(versions) for column in version["changed"])
    if any(version["deleted"] for version in versions):
        changed["deleted"] = None
    last = versions[-1]
    return {
        "entity": entity.name,
        "id": last[entity.key],
        "versions": len(versions),
        "amended_at": last["valid_from"],
        "changed": list(changed),
    }


def values_of(version: Row) -> list[str]:
    """Returns the columns that come from the source, without the bookkeeping and the warehouse's record id."""
    return [
        column
        for column in version
        if column not in BOOKKEEPING and column != "changed" and not column.endswith("_record_id")
    ]
