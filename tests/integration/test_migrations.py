"""The warehouse's schema is the same, whether made from empty or step by step."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from local.postgres.databases import LOADER
from tests.support.pipeline import Pipeline
from tests.support.releases import RELEASES, deploy
from totes.contracts.declarations import ContractInvalid, declared
from totes.errors import DatabaseFailed, LogBroken, VersionUnknown
from totes.postgres.connection import WAREHOUSE, connected
from totes.warehouse import schema
from totes.warehouse.tables import metadata
from totes.warehouse.warehouse import Warehouse

LAST = max(RELEASES)
# Everything in the catalogue, in a form without ids.
CATALOGUE = """
    SELECT 'column', relation.relname, attribute.attname,
           row_number() OVER (PARTITION BY relation.oid ORDER BY attnum),
           format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid),
           col_description(relation.oid, attnum), obj_description(relation.oid, 'pg_class'), relacl::text
    FROM pg_class AS relation
    JOIN pg_attribute AS attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_attrdef ON adrelid = relation.oid AND adnum = attnum
    WHERE relnamespace IN ('public'::regnamespace, 'etl'::regnamespace) AND relkind <> 'i'
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, 0, pg_get_constraintdef(oid), convalidated, '', '', '', ''
    FROM pg_constraint WHERE connamespace IN ('public'::regnamespace, 'etl'::regnamespace)
    UNION ALL
    SELECT 'index', tablename, indexname, 0, indexdef, true, '', '', '', ''
    FROM pg_indexes WHERE schemaname IN ('public', 'etl')
    UNION ALL
    SELECT 'view', viewname, '', 0, definition, true, '', '', '', '' FROM pg_views WHERE schemaname IN ('public', 'etl')
    UNION ALL
    SELECT 'function', proname, pg_get_function_arguments(oid), 0, pg_get_functiondef(oid), true, '', '', '',
           proacl::text
    FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, 'etl'::regnamespace)
    ORDER BY 1, 2, 3, 4
"""


def migrate(pipeline: Pipeline) -> None:
    with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-test") as connection:
        schema.migrate(Warehouse(connection))


def catalogue(pipeline: Pipeline) -> list[list[Any]]:
    return pipeline.star(CATALOGUE)


@pytest.mark.parametrize("path", [*combinations(RELEASES, 2), (1, 2, 3, 4)], ids=str)
def test_from_empty_and_step_by_step_is_the_same(pipeline: Pipeline, schemas: Path, path: tuple[int, ...]) -> None:
    deploy(schemas, path[-1])
    migrate(pipeline)
    from_empty = catalogue(pipeline)
    pipeline.drop_warehouse()
    for version in path:
        deploy(schemas, version)
        migrate(pipeline)
    assert catalogue(pipeline) == from_empty
    assert pipeline.star("SELECT array_agg(version ORDER BY version) FROM etl.schema_version") == [
        [[*range(1, path[-1] + 1)]]
    ]
    later = {1: [], 2: ["units_sold"], 3: ["units_sold", "staff_id"], 4: ["staff_id", "sold"]}
    in_order = sorted((row[3], row[2]) for row in from_empty if row[:2] == ["column", "fact_sales_order"])
    assert [name for _, name in in_order] == ["sales_record_id", "sales_order_id", "created_date", *later[path[-1]]]


def test_rows_and_readers_outlive_each_version(pipeline: Pipeline, schemas: Path) -> None:
    deploy(schemas, 1)
    migrate(pipeline)
    pipeline.star("INSERT INTO dim_date VALUES ('2024-01-01', 2024)")
    pipeline.star("INSERT INTO dim_design VALUES (1, 'plain')")
    pipeline.star("INSERT INTO fact_sales_order VALUES (1, 5, '2024-01-01')")
    pipeline.star("CREATE SCHEMA mine; CREATE VIEW mine.orders AS SELECT * FROM current_sales_order")
    for version in (2, 3):
        deploy(schemas, version)
        migrate(pipeline)
    assert pipeline.star("SELECT * FROM current_sales_order") == pipeline.star("SELECT * FROM fact_sales_order")
    assert pipeline.star("SELECT sales_order_id, units_sold, staff_id FROM current_sales_order") == [[5, 7, None]]
    assert pipeline.star("SELECT design_name, file_name FROM dim_design") == [["plain", None]]
    assert pipeline.star("SELECT count(*) FROM mine.orders") == [[1]]


def test_added_column_is_as_declared(pipeline: Pipeline, schemas: Path) -> None:
    """Returns everything that a schema made from empty has."""
    for version in (1, 3):
        deploy(schemas, version)
        migrate(pipeline)
    assert pipeline.star(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'fact_sales_order'::regclass AND contype = 'f' ORDER BY 1"
    ) == [
        ["fact_sales_order_created_date_fkey", "FOREIGN KEY (created_date) REFERENCES dim_date(date_id)"],
        ["fact_sales_order_staff_id_fkey", "FOREIGN KEY (staff_id) REFERENCES dim_staff(staff_id)"],
    ]
    assert pipeline.star(
        "SELECT attname, col_description(attrelid, attnum), attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute "
        "LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
        "WHERE attrelid = 'fact_sales_order'::regclass AND attnum > 3 ORDER BY attnum"
    ) == [["units_sold", "Totes sold.", True, "7"], ["staff_id", "Who sold it.", False, None]]


def test_until_drops_the_column(pipeline: Pipeline, schemas: Path) -> None:
    deploy(schemas, 3)
    migrate(pipeline)
    pipeline.star("GRANT SELECT ON current_sales_order TO totes_reader")
    pipeline.star(f"ALTER DEFAULT PRIVILEGES FOR ROLE {LOADER} GRANT SELECT ON TABLES TO PUBLIC")
    rights = """
        SELECT array_agg(CAST(entry AS text) ORDER BY CAST(entry AS text))
        FROM pg_class, unnest(relacl) AS entry WHERE relname = 'current_sales_order'
    """
    before = pipeline.star(rights)
    deploy(schemas, 4)
    migrate(pipeline)
    assert pipeline.star(rights) == before
    assert pipeline.star("SELECT count(*) FROM pg_attribute WHERE attname = 'units_sold' AND NOT attisdropped") == [[0]]


@pytest.mark.parametrize("release", [3, 4], ids=["no new version", "a later version"])
def test_until_of_a_version_that_was_deployed_is_refused(pipeline: Pipeline, schemas: Path, release: int) -> None:
    """Otherwise the column would stay, filled with NULL, and a schema made from empty would lack it."""
    deploy(schemas, 3)
    migrate(pipeline)
    before = catalogue(pipeline)
    deploy(schemas, release)
    path = schemas / "warehouse" / "dim_design.toml"
    line = path.read_text(encoding="utf-8").replace("until = 4, ", "")

    def declare(until: int) -> None:
        path.write_text(line.replace("since = 2", f"until = {until}, since = 2"), encoding="utf-8")
        metadata.cache_clear()
        declared.cache_clear()

    declare(until=3)
    with pytest.raises(ContractInvalid) as caught:
        migrate(pipeline)
    assert str(caught.value) == (
        "The warehouse is not as declared: column dim_design.file_name is there, and its `until = 3` says that "
        "version 3 dropped it. Nothing was changed. Write "
        f"`until = {release + 1}` into its line in schemas/warehouse/dim_design.toml: the next Load then drops the "
        "column. If it is yours, give it another name."
    )
    assert catalogue(pipeline) == before
    declare(until=release + 1)
    migrate(pipeline)
    brought_forward = catalogue(pipeline)
    assert "file_name" not in [row[2] for row in brought_forward if row[:2] == ["column", "dim_design"]]
    pipeline.drop_warehouse()
    migrate(pipeline)
    assert catalogue(pipeline) == brought_forward


def test_column_in_use_is_not_dropped(pipeline: Pipeline, schemas: Path) -> None:
    deploy(schemas, 3)
    migrate(pipeline)
    pipeline.star("CREATE SCHEMA mine; CREATE VIEW mine.orders AS SELECT * FROM current_sales_order")
    before = catalogue(pipeline)
    deploy(schemas, 4)
    with pytest.raises(ContractInvalid, match=r"units_sold can't be dropped, .* view mine.orders depends on view cu"):
        migrate(pipeline)
    assert catalogue(pipeline) == before
    pipeline.star("DROP VIEW mine.orders")
    migrate(pipeline)


def test_view_with_other_columns_keeps_its_grants(pipeline: Pipeline, schemas: Path) -> None:
    deploy(schemas, 2)
    migrate(pipeline)
    pipeline.star("GRANT SELECT ON sales_order_history TO totes_reader")
    deploy(schemas, 3)
    path = schemas / "warehouse" / "views.sql"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("    came.batch_id,\n", "    came.batch_id AS batch,\n"), encoding="utf-8")
    migrate(pipeline)
    assert pipeline.star("SELECT batch FROM sales_order_history") == []
    assert pipeline.star("SELECT has_table_privilege('totes_reader', 'sales_order_history', 'SELECT')") == [[True]]


def test_deleted_line_gets_a_remedy(pipeline: Pipeline, schemas: Path) -> None:
    deploy(schemas, 2)
    migrate(pipeline)
    deploy(schemas, 1)
    with pytest.raises(VersionUnknown) as caught:
        migrate(pipeline)
    assert str(caught.value) == (
        "The warehouse's schema has version 2; this release knows up to 1. It has dim_design.file_name, "
        "fact_sales_order.units_sold, which schemas/ does not declare. Deploy the release that made it, or a later "
        "one. To drop a column, restore its line in schemas/ and add `until = 3`: the next Load then drops it."
    )


@pytest.mark.parametrize(
    ("old", "new", "found", "remedy"),
    [
        ("design_name = {", "title = {", "column dim_design.title is not there", "write `since = 2` into its line"),
        (
            "[columns]",
            '[columns]\nlabel = { type = "varchar", from = "design.file_name", meaning = "." }',
            "column dim_design.label is not there",
            "If it is new, write `since = 2` into its line",
        ),
        (
            'design_name = { type = "varchar", from = "design.design_name"',
            'design_name = { type = "integer", from = "design.design_id"',
            "column dim_design.design_name has the type character varying, expected integer",
            "write `until = 2` into the old line and declare a column of another name with `since = 2`",
        ),
        (
            'from = "design.design_name"',
            'nullable = true, from = "design.design_name"',
            "column dim_design.design_name is NOT NULL, expected nullable",
            "0002_alter.sql with: ALTER TABLE {stars}.dim_design ALTER COLUMN design_name DROP NOT NULL;",
        ),
        (
            'design_name = { type = "varchar", from = "design.design_name", meaning = "Its name." }\n',
            "",
            "column dim_design.design_name is there and not declared, and takes no row without it",
            "with `until = 2`: the next Load then drops",
        ),
    ],
    ids=["renamed", "new without since", "type", "nullable", "line deleted"],
)
def test_changed_declaration_is_told(
    pipeline: Pipeline, schemas: Path, old: str, new: str, found: str, remedy: str
) -> None:
    deploy(schemas, 1)
    migrate(pipeline)
    before = catalogue(pipeline)
    path = schemas / "warehouse" / "dim_design.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    metadata.cache_clear()
    declared.cache_clear()
    with pytest.raises(ContractInvalid) as caught:
        migrate(pipeline)
    assert f"The warehouse is not as declared: {found}" in caught.value.found
    assert remedy in caught.value.remedy
    assert catalogue(pipeline) == before


def test_remedies_lead_to_the_same_schema(pipeline: Pipeline, schemas: Path) -> None:
    """A column of another type is dropped, and one becomes nullable by a file: here, and in a new schema."""
    deploy(schemas, 1)
    migrate(pipeline)
    path = schemas / "warehouse" / "dim_design.toml"
    old = 'design_name = { type = "varchar", from = "design.design_name", '
    later = 'number = { type = "integer", from = "design.design_id", nullable = true, since = 2, meaning = "." }\n'
    path.write_text(path.read_text(encoding="utf-8").replace(old, f"{later}{old}until = 2, "), encoding="utf-8")
    path = schemas / "warehouse" / "dim_date.toml"
    text = path.read_text(encoding="utf-8").replace("year = {", "year = { nullable = true,")
    path.write_text(text, encoding="utf-8")
    file = "ALTER TABLE {stars}.dim_date ALTER COLUMN year DROP NOT NULL;"
    (schemas / "warehouse" / "0002_alter.sql").write_text(file, encoding="utf-8")
    metadata.cache_clear()
    declared.cache_clear()
    migrate(pipeline)
    brought_forward = catalogue(pipeline)
    assert [row[2] for row in brought_forward if row[:2] == ["column", "dim_design"]] == ["design_id", "number"]
    pipeline.drop_warehouse()
    migrate(pipeline)
    assert catalogue(pipeline) == brought_forward


def test_new_table_without_since_is_told(pipeline: Pipeline, schemas: Path) -> None:
    deploy(schemas, 2)
    migrate(pipeline)
    deploy(schemas, 3)
    for name in ("dim_department", "dim_staff", "fact_designed"):
        path = schemas / "warehouse" / f"{name}.toml"
        path.write_text(path.read_text(encoding="utf-8").replace("since = 3\n", ""), encoding="utf-8")
    (schemas / "warehouse" / "0003_more.sql").unlink()
    path = schemas / "warehouse" / "fact_sales_order.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("since = 3", "since = 2"), encoding="utf-8")
    with pytest.raises(ContractInvalid, match=r"table dim_department is not there.*write `since = 3` into it"):
        migrate(pipeline)


@pytest.mark.parametrize(
    ("made", "found"),
    [
        ("CREATE TABLE etl.schema_version (version integer)", "etl.schema_version that is not the one of totes"),
        (
            "CREATE TABLE etl.schema_version (version integer PRIMARY KEY, applied_at timestamptz NOT NULL); "
            "INSERT INTO etl.schema_version VALUES (1, now()), (5, now())",
            "etl.schema_version that is not the one of totes",
        ),
        ("CREATE VIEW etl.schema_version AS SELECT 1 AS version, now() AS applied_at", "is not the one of totes"),
        ("CREATE TABLE etl.batch (id integer)", "The warehouse has etl.batch already, which no migration of totes"),
        ("CREATE TABLE dim_design ()", "The warehouse has dim_design already, which no migration"),
        (
            "CREATE VIEW current_sales_order AS SELECT 1 AS sales_record_id",
            "The warehouse has current_sales_order alre",
        ),
    ],
    ids=["other columns", "same columns", "view", "log", "star", "a fact's view"],
)
def test_tables_of_somebody_else_are_left_alone(pipeline: Pipeline, schemas: Path, made: str, found: str) -> None:
    deploy(schemas, 1)
    pipeline.star(f"CREATE SCHEMA etl; {made}")
    before = catalogue(pipeline)
    with pytest.raises(DatabaseFailed, match=found) as caught:
        migrate(pipeline)
    assert "database of its own" in caught.value.remedy
    assert catalogue(pipeline) == before


@pytest.mark.parametrize("missing", ["version = 1", "true"], ids=["gap", "empty"])
def test_gap_in_the_versions_is_told(pipeline: Pipeline, schemas: Path, missing: str) -> None:
    deploy(schemas, 2)
    migrate(pipeline)
    pipeline.star(f"DELETE FROM etl.schema_version WHERE {missing}")
    with pytest.raises(LogBroken, match=r"etl.schema_version holds the versions (2|none), and should"):
        migrate(pipeline)


def test_foreign_tables_in_the_log_schema_do_no_harm(pipeline: Pipeline, schemas: Path) -> None:
    deploy(schemas, 1)
    pipeline.star(f"CREATE SCHEMA etl AUTHORIZATION {LOADER}; CREATE TABLE etl.jobs (id integer)")
    migrate(pipeline)
    assert pipeline.star("SELECT version FROM etl.schema_version") == [[1]]
