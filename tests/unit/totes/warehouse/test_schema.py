from collections.abc import Iterator
from pathlib import Path

import pytest

from local.postgres.server import Postgres
from tests.support.injection import at_statement
from tests.support.pipeline import REAL_DATA, Pipeline, needs_real_data
from totes.contracts.declarations import declared
from totes.errors import VersionUnknown
from totes.postgres.connection import WAREHOUSE, connected
from totes.postgres.driver import PipelineConnection
from totes.warehouse import schema, tables
from totes.warehouse.warehouse import LIVE, Schemas, Warehouse

COLUMNS = """
    SELECT table_name, column_name, data_type, numeric_precision, numeric_scale, is_nullable
    FROM information_schema.columns
    WHERE table_schema = 'public' AND (table_name LIKE 'dim\\_%' OR table_name LIKE 'fact\\_%')
    ORDER BY table_name, column_name
"""
LATEST = schema.latest_version()
NEXT = LATEST + 1
KEYS = """
    SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype IN ('p', 'f') AND connamespace = 'public'::regnamespace ORDER BY 1, 2
"""


@pytest.fixture
def official(postgres: Postgres) -> Iterator[str]:
    """Yields a database with the warehouse as the business's own DDL creates it."""
    postgres.create_database("official_warehouse")
    postgres.execute((REAL_DATA / "warehouse_ddl.sql").read_text(encoding="utf-8"), "official_warehouse")
    yield "official_warehouse"
    postgres.execute("DROP DATABASE official_warehouse WITH (FORCE)")


def migrated(pipeline: Pipeline) -> None:
    with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-test") as connection:
        schema.migrate(Warehouse(connection))


def versions(pipeline: Pipeline) -> list[int]:
    return [version for (version,) in pipeline.star("SELECT version FROM etl.schema_version ORDER BY 1")]


@needs_real_data
def test_schema_is_the_official_one(pipeline: Pipeline, official: str) -> None:
    migrated(pipeline)
    for query in (COLUMNS, KEYS):
        assert pipeline.postgres.execute(query, pipeline.warehouse) == pipeline.postgres.execute(query, official)


def test_second_migration_writes_nothing(pipeline: Pipeline) -> None:
    migrated(pipeline)
    before = pipeline.star("SELECT oid, xmin FROM pg_class ORDER BY 1")
    migrated(pipeline)
    assert pipeline.star("SELECT oid, xmin FROM pg_class ORDER BY 1") == before
    assert versions(pipeline) == list(range(1, LATEST + 1))


def test_migrations_at_once_make_the_schema_once(pipeline: Pipeline) -> None:
    # Another execution migrates after this one has read the version and before it has the lock.
    with at_statement("pg_advisory_xact_lock", lambda: migrated(pipeline)) as locks:
        migrated(pipeline)
    assert len(locks) == 2
    assert versions(pipeline) == list(range(1, LATEST + 1))


def test_tables_and_columns_are_described(pipeline: Pipeline) -> None:
    migrated(pipeline)
    ((table, column),) = pipeline.star(
        "SELECT obj_description('fact_payment'::regclass), col_description('fact_payment'::regclass, 1)"
    )
    assert table.startswith("Payments, every version of each")
    assert column == "Identifies the version; grows with the batches."


def test_schema_of_a_newer_release_is_left_alone(pipeline: Pipeline) -> None:
    migrated(pipeline)
    pipeline.star("INSERT INTO etl.schema_version VALUES (7)")
    with pytest.raises(VersionUnknown) as caught:
        migrated(pipeline)
    assert str(caught.value) == (
        f"The warehouse's schema has version 7; this release knows up to {LATEST}. "
        "Deploy the release that made it, or a later one."
    )


def test_failed_migration_leaves_nothing(pipeline: Pipeline, schemas: Path) -> None:
    (schemas / "warehouse" / f"{NEXT:04d}_zz.sql").write_text("SELECT 1 / 0;")
    with pytest.raises(Exception, match="division by zero"):
        migrated(pipeline)
    assert pipeline.star("SELECT to_regclass('etl.schema_version')") == [[None]]


def add_column(schemas: Path, table: str, declaration: str) -> None:
    with (schemas / "warehouse" / f"{table}.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n{declaration}\n")
    tables.metadata.cache_clear()
    declared.cache_clear()


MANAGER = (
    f'"department_manager" = {{ type = "varchar", from = "department.manager", since = {NEXT}, meaning = "m", %s }}'
)


@pytest.mark.parametrize(
    ("how", "value"),
    [("nullable = true", None), ('default = "it\'s unknown"', "it's unknown")],
    ids=["NULL", "default"],
)
def test_new_column_comes_to_the_rows_that_are_there(
    pipeline: Pipeline, schemas: Path, how: str, value: str | None
) -> None:
    migrated(pipeline)
    pipeline.star("INSERT INTO dim_staff VALUES (1, 'a', 'b', 'c', 'd', 'e')")
    add_column(schemas, "dim_staff", MANAGER % how)
    (schemas / "warehouse" / f"{NEXT:04d}_more.sql").write_text("CREATE TABLE {log}.more ();")
    assert schema.latest_version() == NEXT
    migrated(pipeline)
    assert pipeline.star("SELECT department_manager FROM dim_staff") == [[value]]
    assert pipeline.star("SELECT to_regclass('etl.more')::text") == [["etl.more"]]
    assert versions(pipeline) == list(range(1, NEXT + 1))


def test_new_table_comes_with_its_version(pipeline: Pipeline, schemas: Path) -> None:
    migrated(pipeline)
    folder = schemas / "warehouse"
    text = (folder / "dim_design.toml").read_text(encoding="utf-8")
    (folder / "dim_print.toml").write_text(f"since = {NEXT}\n{text}", encoding="utf-8")
    tables.metadata.cache_clear()
    declared.cache_clear()
    migrated(pipeline)
    assert pipeline.star("SELECT count(*) FROM dim_print") == [[0]]


def test_lock_is_held_until_the_transaction_ends(star: PipelineConnection, pipeline: Pipeline) -> None:
    Warehouse(star).lock()
    ask = "SELECT pg_try_advisory_xact_lock(%s)"
    (key,) = pipeline.star(
        "SELECT (CAST(classid AS bigint) << 32) | CAST(objid AS bigint) FROM pg_locks "
        "WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )[0]
    assert pipeline.star(ask, key) == [[False]]
    star.rollback()
    assert pipeline.star(ask, key) == [[True]]


def test_live_lock_is_the_same_in_every_release() -> None:
    """A load of the previous release may still run: it must use the same lock."""
    assert LIVE.lock == 0x746F746573


def test_each_warehouse_has_a_lock_of_its_own() -> None:
    all_of_them = [LIVE, *(Schemas(stars, log) for stars in "ab" for log in "ab")]
    assert len({schemas.lock for schemas in all_of_them}) == len(all_of_them)


def test_schema_is_made_even_where_public_is_gone(pipeline: Pipeline) -> None:
    pipeline.star("DROP SCHEMA public")
    migrated(pipeline)
    assert pipeline.star("SELECT count(*) FROM current_sales_order") == [[0]]


def test_state_before_the_first_batch_is_empty(star: PipelineConnection) -> None:
    for at in ("0", "TIMESTAMPTZ '2000-01-01'"):
        assert star.execute(f"SELECT count(*) FROM sales_order_as_of({at})").scalar() == 0
