"""The declared tables, as PostgreSQL's catalogue describes them."""

from collections.abc import Mapping
from dataclasses import dataclass

# By pg_class.relkind.
PARTITIONED = "p"
# {table: {object id of a relation that makes it up: digest of how a stored row becomes values}}.
Structure = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class CatalogueColumn:
    """A column, as the catalogue describes it."""

    name: str
    type: str
    readable: bool


@dataclass(frozen=True)
class Relation:
    """A relation that makes up a table: the table itself, a partition, or a table that inherits from it.

    Attributes:
        kind, persistence: as in pg_class.
        access_method: how its rows are stored; None if they are not stored here.
        digest: it changes if anything changes that turns a stored row into values.
    """

    oid: str
    name: str
    kind: str
    persistence: str
    access_method: str | None
    digest: str


@dataclass(frozen=True)
class CatalogueTable:
    """A declared table, or another relation with its name.

    Attributes:
        kind: as in pg_class.
        hides_rows: whether row-level security may hide rows from this user.
        unique_columns: the columns that have a unique index of their own in this relation.
    """

    name: str
    kind: str
    hides_rows: bool
    unique_columns: tuple[str, ...]
    columns: tuple[CatalogueColumn, ...]
    relations: tuple[Relation, ...]

    @property
    def holding(self) -> tuple[str, ...]:
        """Returns the object ids of the relations that hold rows; a partitioned table holds none itself."""
        return tuple(relation.oid for relation in self.relations if relation.kind != PARTITIONED)

    def has_unique(self, column: str) -> bool:
        """Returns whether no two rows can have the same value. Tables that inherit from one another share no index."""
        return column in self.unique_columns and (self.kind == PARTITIONED or len(self.relations) == 1)


def structure_of(tables: Mapping[str, CatalogueTable]) -> Structure:
    """Returns the structure of the tables, as a manifest keeps it."""
    return {name: {relation.oid: relation.digest for relation in table.relations} for name, table in tables.items()}


def relations_to_read(before: Mapping[str, str], now: CatalogueTable) -> tuple[str, ...]:
    """Returns the object ids of the relations whose rows may have other values now, though none of them is new.

    A partitioned parent decides how PostgreSQL reads the rows of all its partitions. If it changed, this returns all.
    """
    changed = {relation.oid: relation.kind for relation in now.relations if before.get(relation.oid) != relation.digest}
    return now.holding if PARTITIONED in changed.values() else tuple(changed)
