from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.postgres.databases import READER
from tests.support.pipeline import Pipeline
from totes.contracts.declarations import SCHEMAS
from totes.postgres.catalogue import CatalogueTable, Relation, relations_to_read, structure_of
from totes.postgres.connection import TOTESYS, connected
from totes.source.snapshot import read_catalogue

PACKAGE = Path(__file__).parents[4] / "totes"

PARENT, LOW, HIGH = (
    Relation("1", "payment", "p", "p", None, "a"),
    Relation("2", "payment_low", "r", "p", "heap", "b"),
    Relation("3", "payment_high", "r", "p", "heap", "c"),
)
PAYMENT = CatalogueTable(
    "payment", "p", hides_rows=False, unique_columns=("payment_id",), columns=(), relations=(PARENT, LOW, HIGH)
)
BEFORE = {"1": "a", "2": "b", "3": "c"}


@pytest.mark.parametrize(
    ("before", "relations"),
    [
        (BEFORE, ()),
        ({"1": "a", "2": "b", "3": "x"}, ("3",)),
        ({"1": "a", "2": "b"}, ("3",)),
        (BEFORE | {"4": "d"}, ()),
        ({"1": "x", "2": "b", "3": "c"}, ("2", "3")),
        ({}, ("2", "3")),
    ],
    ids=["the same", "another digest", "a new partition", "one less", "another parent", "another table"],
)
def test_relations_that_are_other_ones_are_read(before: dict[str, str], relations: tuple[str, ...]) -> None:
    assert relations_to_read(before, PAYMENT) == relations


def catalogue(pipeline: Pipeline) -> dict[str, CatalogueTable]:
    with connected(TOTESYS, pipeline.credentials(pipeline.source, READER), "totes-test") as connection:
        return read_catalogue(connection)


def changed_tables(pipeline: Pipeline, statements: Sequence[str]) -> set[str]:
    """Runs statements and returns the tables whose structure has changed."""
    before = catalogue(pipeline)
    with pipeline.connection(pipeline.source) as connection:
        for statement in statements:
            connection.cursor().execute(statement)
        connection.commit()
    after = structure_of(catalogue(pipeline))
    return {name for name, structure in structure_of(before).items() if after[name] != structure}


def exchanged(renaming: str, one: str, other: str, meanwhile: str) -> list[str]:
    return [f"{renaming} {old} TO {new}" for old, new in ((one, meanwhile), (other, one), (meanwhile, other))]


# {change: (statements, the tables whose stored rows may have other values)}
CHANGES = {
    "columns exchanged": (exchanged("ALTER TABLE staff RENAME", "first_name", "last_name", "held"), {"staff"}),
    # Names, order and types are the same.
    "the last column made again": (
        ["ALTER TABLE design DROP last_updated", "ALTER TABLE design ADD last_updated timestamp(3) DEFAULT now()"],
        {"design"},
    ),
    "labels of an enum exchanged": (
        exchanged('ALTER TYPE "PaymentTypeName" RENAME VALUE', "'SALES_REFUND'", "'PURCHASE_REFUND'", "'held'"),
        {"payment_type"},
    ),
    "another table in its place": (
        [
            "CREATE TABLE prepared (LIKE payment)",
            "ALTER TABLE payment RENAME TO old",
            "ALTER TABLE prepared RENAME TO payment",
        ],
        {"payment"},
    ),
    "an undeclared column": (
        ["ALTER TABLE staff ADD one text DEFAULT ''", "ALTER TABLE staff RENAME one TO other"],
        set(),
    ),
    "what changes no value": (
        [
            "ALTER TABLE staff ALTER first_name SET DEFAULT '', ALTER last_name DROP NOT NULL",
            "ALTER TABLE staff ADD CHECK (staff_id > 0)",
            "CREATE INDEX ON staff (first_name)",
        ],
        set(),
    ),
}


@pytest.mark.parametrize(("statements", "tables"), CHANGES.values(), ids=CHANGES)
def test_structure_is_another_one_where_values_may_be(
    pipeline: Pipeline, statements: Sequence[str], tables: set[str]
) -> None:
    assert changed_tables(pipeline, statements) == tables


def test_expression_of_a_virtual_column_belongs_to_the_structure(pipeline: Pipeline) -> None:
    pipeline.totesys(
        "ALTER TABLE staff DROP email_address, ADD email_address text GENERATED ALWAYS AS (first_name) VIRTUAL"
    )
    statement = "ALTER TABLE staff ALTER email_address SET EXPRESSION AS (last_name)"
    assert changed_tables(pipeline, [statement]) == {"staff"}


def test_all_relations_that_make_up_a_table_are_known(pipeline: Pipeline) -> None:
    for statement in (
        "ALTER TABLE design RENAME TO plain",
        "CREATE TABLE design (LIKE plain) PARTITION BY RANGE (design_id)",
        "CREATE TABLE design_low PARTITION OF design FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (design_id)",
        "CREATE UNLOGGED TABLE design_least PARTITION OF design_low DEFAULT",
        "CREATE SCHEMA far",
        "CREATE TABLE far.staff_more () INHERITS (staff)",
        "GRANT USAGE ON SCHEMA far TO PUBLIC",
    ):
        pipeline.totesys(statement)

    with pipeline.connection(pipeline.source) as other:
        other.cursor().execute("CREATE TEMPORARY TABLE mine () INHERITS (staff)")
        other.commit()
        found = catalogue(pipeline)

    relations = {relation.name: relation for name in ("design", "staff") for relation in found[name].relations}
    assert {name: relation.kind for name, relation in relations.items()} == {
        "design": "p",
        "design_low": "p",
        "design_least": "r",
        "staff": "r",
        "far.staff_more": "r",
    }
    assert [name for name, relation in relations.items() if relation.persistence == "u"] == ["design_least"]
    assert found["design"].holding == (relations["design_least"].oid,)
    assert set(found["staff"].holding) == {relations["staff"].oid, relations["far.staff_more"].oid}


@pytest.mark.parametrize(
    ("changes", "unique"),
    [
        ({}, True),
        ({"unique_columns": ()}, False),
        ({"kind": "r", "relations": (LOW,)}, True),
        # Each of the tables that inherit from each other has an index of its own.
        ({"kind": "r", "relations": (LOW, HIGH)}, False),
    ],
)
def test_key_is_unique_where_one_index_says_so(changes: dict[str, Any], unique: bool) -> None:
    assert replace(PAYMENT, **changes).has_unique("payment_id") is unique


@pytest.mark.parametrize(
    "path", [*PACKAGE.rglob("*.sql"), *(SCHEMAS / "warehouse").glob("*.sql")], ids=lambda path: path.name
)
def test_statements_are_ascii(path: Path) -> None:
    """A server in another encoding refuses a character that it lacks, in a comment too."""
    assert path.read_text(encoding="utf-8").isascii()
