"""queries/lake/spark.sql gives the warehouse's rows in Spark's local mode."""

import shutil
from collections.abc import Iterator, Mapping
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lake.views import VIEWS, Rows
from tools.docs.lake import FOLDER

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Spark warns when it closes its sockets and files during garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def spark(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    """Yields a Spark session with the shipped tables and views over the lake."""
    sql = pytest.importorskip("pyspark.sql", reason="Spark is not installed here: `make spark-test` does it apart")
    if not shutil.which("java"):
        pytest.skip("Spark needs Java 17 or later, and there is none on the path")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark")),
    }
    session = sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    try:
        session.sql(f"SET lake = {lake}")
        for statement in (FOLDER / "spark.sql").read_text(encoding="utf-8").split(";\n\n"):
            session.sql(statement.rstrip().removesuffix(";"))
        yield session
    finally:
        session.stop()


@pytest.mark.parametrize("view", VIEWS)
def test_current_state_is_the_warehouses(spark: "SparkSession", current: Mapping[str, Rows], view: str) -> None:
    found = spark.sql(f"SELECT * FROM {view} ORDER BY 1")
    assert found.columns == [column.name for column in VIEWS[view].data_columns]
    assert [tuple(row) for row in found.collect()] == [tuple(map(in_the_lake, row)) for row in current[view]]


def test_deleted_rows_are_told_with_their_batch(spark: "SparkSession") -> None:
    assert {tuple(row) for row in spark.sql("SELECT * FROM deleted_payment").collect()} == {(3, 8), (4, 8)}
    assert spark.sql("SELECT * FROM deleted_purchase_order").collect() == []


def in_the_lake(value: Any) -> Any:
    """Returns a value as the lake holds it: a time of day is text there."""
    return value.isoformat("milliseconds") if isinstance(value, time) else value
