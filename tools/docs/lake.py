"""Generates queries/lake/*.sql from the contracts: views of the processed zone for DuckDB, Spark and Athena."""

from collections.abc import Callable, Iterator
from pathlib import Path

from local.aws.deployment import ROOT
from totes.contracts.declarations import Column, WarehouseTable, type_in_use, warehouse_tables

FOLDER = ROOT / "queries" / "lake"
_RULES = """
-- Each table has three views, named after it without fact_ or dim_:
--   delivered_…  every delivered row with its batch; a row may be delivered again unchanged
--   deleted_…    the deleted keys, each with the batch that deleted it
--   current_…    for a fact, the newest row of each key that is not deleted; for a dimension it is called dim_… and
--                includes deleted rows, because earlier facts refer to them
-- Written by `make docs` from schemas/warehouse. docs/lake.md explains how to use it.
"""
_DUCKDB = """-- The lake in DuckDB, 2.0 or later. First set its place, a bucket or a folder with a copy of it:
--   SET VARIABLE lake = 's3://totes-prod-processed-123456789012';
-- The views include new batches automatically. Set the variable again in each session."""
_SPARK = """-- The lake in Spark SQL. First set its place, a bucket or a folder with a copy of it:
--   SET lake = s3a://totes-prod-processed-123456789012;
-- After new batches, run REFRESH TABLE on each table that the session has used."""
_ATHENA = """-- The lake in Athena, engine version 3. The deployment creates the database totes_<stage> and its tables.
-- Athena accepts one statement at a time. The views include new batches automatically."""


def may_lose_rows(table: WarehouseTable) -> bool:
    """Returns whether files of deleted keys may exist. Rows of calculated tables are never deleted."""
    return table.source is not None


def files() -> dict[Path, str]:
    """Returns the generated files."""
    engines = {"duckdb": (_DUCKDB, _duckdb), "spark": (_SPARK, _spark), "athena": (_ATHENA, _athena)}
    return {FOLDER / f"{engine}.sql": _file(head, delivered) for engine, (head, delivered) in engines.items()}


_Statements = Callable[[WarehouseTable, str, tuple[Column, ...]], Iterator[str]]


def _file(head: str, delivered: _Statements) -> str:
    """Returns the statements for all tables. `delivered` makes the engine's own statements that read a folder."""
    statements = [statement for table in warehouse_tables().values() for statement in _views(table, delivered)]
    return "\n\n".join([f"{head}\n{_RULES.rstrip()}", *(f"{statement};" for statement in statements)]) + "\n"


def _views(table: WarehouseTable, delivered: _Statements) -> Iterator[str]:
    yield from delivered(table, "data", table.data_columns)
    if may_lose_rows(table):
        yield from delivered(table, "deleted", (table.column(table.identity),))
    yield _newest(table)


def _newest(table: WarehouseTable) -> str:
    """Returns the view of the current rows, in SQL that all engines understand.

    Rows with the same batch and key are equal: a Transform that died and its retry write the same rows.
    """
    columns = ",\n".join(f"    newest.{column.name}" for column in table.data_columns)
    entity, key = _entity(table), table.identity
    view = f"""CREATE OR REPLACE VIEW {f"current_{entity}" if table.is_fact else table.name} AS
SELECT
{columns}
FROM (
    SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY batch DESC) AS age
    FROM delivered_{entity}
) AS newest"""  # noqa: S608  names out of the contracts alone
    if not table.is_fact:
        return f"{view}\nWHERE newest.age = 1"
    return f"""{view}
LEFT JOIN (
    SELECT {key}, max(batch) AS batch
    FROM deleted_{entity}
    GROUP BY {key}
) AS gone ON gone.{key} = newest.{key}
WHERE newest.age = 1 AND (gone.batch IS NULL OR gone.batch < newest.batch)"""  # noqa: S608  names out of the contracts alone


def _duckdb(table: WarehouseTable, part: str, columns: tuple[Column, ...]) -> Iterator[str]:
    """Yields a view of a folder, which may be empty, and may lack columns that were added after its last batch.

    DuckDB has a type for the time of day, so it also reads old batches written with Parquet's type for it.
    """
    kinds = {column: type_in_use(column).duckdb_name for column in columns}
    typed = ",\n        ".join(f"CAST(NULL AS {kind}) AS {column.name}" for column, kind in kinds.items())
    chosen = ",\n".join(
        f"    {_defaulted(column, f'CAST({column.name} AS {kind})')} AS {column.name}" for column, kind in kinds.items()
    )
    yield f"""CREATE OR REPLACE VIEW {_view(table, part)} AS
SELECT
{chosen},
    CAST(batch AS int) AS batch
FROM (
    SELECT
        {typed},
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/{part}/{table.name}/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {{'batch': int}}, allow_empty = true
    )
)"""  # noqa: S608  names out of the contracts alone


def _spark(table: WarehouseTable, part: str, columns: tuple[Column, ...]) -> Iterator[str]:
    """Yields a table like the one in Glue, and a view of it. The option keeps folders from becoming partitions."""
    declared = ",\n".join(f"    {column.name} {type_in_use(column).spark_name}" for column in columns)
    yield f"""CREATE TABLE IF NOT EXISTS {part}_{table.name} (
{declared}
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${{lake}}/{part}/{table.name}'"""
    yield _of_table(table, part, columns, "_metadata.file_path")


def _athena(table: WarehouseTable, part: str, columns: tuple[Column, ...]) -> Iterator[str]:
    yield _of_table(table, part, columns, '"$path"')


def _of_table(table: WarehouseTable, part: str, columns: tuple[Column, ...], path: str) -> str:
    """Returns a view of a table over a folder. It takes each row's batch from its file's name."""
    chosen = ",\n".join(f"    {_named(column)}" for column in columns)
    return f"""CREATE OR REPLACE VIEW {_view(table, part)} AS
SELECT
{chosen},
    CAST(regexp_extract({path}, 'batch=([0-9]+)', 1) AS int) AS batch
FROM {part}_{table.name}"""  # noqa: S608  names out of the contracts alone


def _named(column: Column) -> str:
    value = _defaulted(column, column.name)
    return value if value == column.name else f"{value} AS {column.name}"


def _defaulted(column: Column, value: str) -> str:
    """Returns the value. Rows older than the column get its default, if it has one, as in the warehouse."""
    if column.since == 1 or column.default is None:
        return value
    return f"coalesce({value}, '{column.default}')"


def _view(table: WarehouseTable, part: str) -> str:
    return f"{'delivered' if part == 'data' else part}_{_entity(table)}"


def _entity(table: WarehouseTable) -> str:
    return table.name.partition("_")[2]
