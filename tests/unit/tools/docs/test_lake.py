"""The lake's views and tables match the contracts, and the engines understand them."""

from dataclasses import replace

import pytest
import sqlglot
import yaml
from sqlglot import exp

from tools.docs import glue, lake
from totes.contracts.declarations import Column, type_in_use, warehouse_tables


@pytest.mark.parametrize("engine", ["athena", "duckdb", "spark"])
def test_statements_parse_in_the_dialect(engine: str) -> None:
    text = (lake.FOLDER / f"{engine}.sql").read_text(encoding="utf-8").replace("${lake}", "s3://lake")
    parsed = sqlglot.parse(text, dialect=engine)
    assert [type(statement) for statement in parsed] == [exp.Create] * len(parsed)
    views = {statement.this.name for statement in parsed if statement.args["kind"] == "VIEW"}
    tables = warehouse_tables().values()
    assert len(views) == 3 * len(tables) - 1, "three of each table, but nothing deleted from the calendar"
    assert {table.name for table in tables if not table.is_fact} < views


def test_athenas_views_read_tables_and_columns_that_are_declared() -> None:
    resources = yaml.safe_load(glue.files()[glue.FILE])["Resources"].values()
    declared = {
        table["Name"]: [column["Name"] for column in table["StorageDescriptor"]["Columns"]]
        for table in (resource["Properties"].get("TableInput") for resource in resources)
        if table
    }
    read = {}
    for statement in sqlglot.parse((lake.FOLDER / "athena.sql").read_text(encoding="utf-8"), dialect="athena"):
        (source, *more) = [table.name for table in statement.find_all(exp.Table)][1:]
        if source.startswith(("data_", "deleted_dim", "deleted_fact")):
            assert more == []
            read[source] = [column.alias_or_name for column in statement.expression.selects[:-1]]
    assert read == declared


def test_every_type_of_the_contracts_has_a_name_in_glue() -> None:
    columns = [column for table in warehouse_tables().values() for column in table.data_columns]
    assert {type_in_use(column).glue_name for column in columns} == {
        "int",
        "boolean",
        "string",
        "date",
        "decimal(10,2)",
    }
    assert type_in_use(Column("moment", "timestamp(3)", "")).glue_name == "timestamp"
    assert type_in_use(Column("time", "time", "")).glue_name == "string"


def test_column_that_came_later_has_its_default_in_older_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    staff = warehouse_tables()["dim_staff"]
    shift = Column("shift", "varchar", "", default="day", since=2)
    later = replace(staff, columns=(*staff.columns, shift))
    monkeypatch.setattr(lake, "warehouse_tables", lambda: {"dim_staff": later})
    for engine, value in (("athena", "shift"), ("spark", "shift"), ("duckdb", "CAST(shift AS string)")):
        assert f"    coalesce({value}, 'day') AS shift,\n" in lake.files()[lake.FOLDER / f"{engine}.sql"]
