"""queries/lake/*.sql out of the contracts: the processed zone as views, for DuckDB, Spark and Athena."""

from collections.abc import Callable, Iterator
from pathlib import Path

from local.aws.deployment import ROOT
from totes.contracts.declarations import Column, WarehouseTable, type_in_use, warehouse_tables

FOLDER = ROOT / "queries" / "lake"
_RULES = """
-- Three views of each table, after its name without fact_ or dim_:
--   delivered_…  every row as it was delivered, with its batch; a row may come again unchanged
--   deleted_…    the keys that were deleted, with the batch that says so
--   current_…    of a fact, the newest row of each key that is not deleted; of a dimension it is called dim_…,
--                and has deleted rows too, because facts of the past refer to them
-- Written by `make docs` out of schemas/warehouse. docs/lake.md says how to use it.
"""
_DUCKDB = """-- The lake in DuckDB, 2.0 or later. Say first where it is, a bucket or a copy of one in a folder:
--   SET VARIABLE lake = 's3://totes-prod-processed-123456789012';
-- The views find new batches by themselves; the variable is forgotten at the end of the session."""
_SPARK = """-- The lake in Spark SQL. Say first where it is, a bucket or a copy of one in a folder:
--   SET lake = s3a://totes-prod-processed-123456789012;
-- REFRESH TABLE finds the batches that came since a table was used first."""
_ATHENA = """-- The lake in Athena, engine version 3, in the database totes_<stage>, whose tables the deployment makes.
-- Athena takes one statement at a time. The views find new batches by themselves."""


def may_lose_rows(table: WarehouseTable) -> bool:
    """Whether there may be files of deleted keys: what is calculated is never deleted."""
    return table.source is not None


def files() -> dict[Path, str]:
    """The views, as they should be."""
    engines = {"duckdb": (_DUCKDB, _duckdb), "spark": (_SPARK, _spark), "athena": (_ATHENA, _athena)}
    return {FOLDER / f"{engine}.sql": _file(head, delivered) for engine, (head, delivered) in engines.items()}


_Statements = Callable[[WarehouseTable, str, tuple[Column, ...]], Iterator[str]]


def _file(head: str, delivered: _Statements) -> str:
    """The statements of all tables; how an engine gets at the rows of a folder is what differs."""
    statements = [statement for table in warehouse_tables().values() for statement in _views(table, delivered)]
    return "\n\n".join([f"{head}\n{_RULES.rstrip()}", *(f"{statement};" for statement in statements)]) + "\n"


def _views(table: WarehouseTable, delivered: _Statements) -> Iterator[str]:
    yield from delivered(table, "data", table.data_columns)
    if may_lose_rows(table):
        yield from delivered(table, "deleted", (table.column(table.identity),))
    yield _newest(table)


def _newest(table: WarehouseTable) -> str:
    """The view of the current rows, which all engines understand.

    Rows of one batch with one key are equal: a transform that died and its retry have made the same.
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
    """A view of a folder, which may be empty, and may lack the columns that came after its last batch.

    DuckDB has a type for a time of day, and reads batches that were made when Parquet's own was written.
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
    """A table like the one in Glue, and a view of it. Spark would take the folders for partitions, unless told."""
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
    """A view of a table over a folder, with the batch out of the name of each row's file."""
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
    """The value; where the column came later and has a default, the rows from before have that, as in the warehouse."""
    if column.since == 1 or column.default is None:
        return value
    return f"coalesce({value}, '{column.default}')"


def _view(table: WarehouseTable, part: str) -> str:
    return f"{'delivered' if part == 'data' else part}_{_entity(table)}"


def _entity(table: WarehouseTable) -> str:
    return table.name.partition("_")[2]
