import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.pipeline import Pipeline
from totes.errors import CorruptObject
from totes.lake.batch_log import entry
from totes.postgres.connection import WAREHOUSE, connected
from totes.postgres.driver import PipelineConnection
from totes.warehouse import schema
from totes.warehouse.warehouse import Warehouse

STAMPS = "'2024-01-01', '2024-01-01'"


@pytest.fixture
def processed(pipeline: Pipeline) -> Pipeline:
    """Yields a pipeline with one batch that is not loaded yet."""
    pipeline.totesys(f"INSERT INTO currency VALUES (1, 'GBP', {STAMPS})")
    pipeline.ingest()
    pipeline.transform()
    return pipeline


def claim(pipeline: Pipeline, bucket: str, batch: int, table: str, part: str, rows: int) -> str:
    """Makes a manifest name a wrong number of rows for an object; returns the object's key."""
    text = pipeline.s3.get_object(Bucket=bucket, Key=entry(batch))["Body"].read()
    manifest = json.loads(text)
    stored = manifest["tables"][table][part]
    stored["rows"] = rows
    pipeline.s3.put_object(Bucket=bucket, Key=entry(batch), Body=json.dumps(manifest))
    return str(stored["key"])


def test_file_with_fewer_rows_than_its_manifest_is_refused(processed: Pipeline) -> None:
    key = claim(processed, processed.processed_bucket, 1, "dim_currency", "data", 2)
    with pytest.raises(CorruptObject, match=f"{key} holds 1 rows; its manifest says 2. Restore"):
        processed.load()
    assert processed.star("SELECT count(*) FROM etl.batch") == [[0]]
    assert processed.star("SELECT count(*) FROM dim_currency") == [[0]]


def test_file_with_fewer_tombstones_than_its_manifest_is_refused(processed: Pipeline) -> None:
    processed.load()
    processed.totesys("DELETE FROM currency")
    processed.ingest()
    processed.transform()
    key = claim(processed, processed.processed_bucket, 2, "dim_currency", "deleted", 2)
    with pytest.raises(CorruptObject, match=f"{key} holds 1 rows; its manifest says 2. Restore"):
        processed.load()
    assert processed.star("SELECT count(*) FROM etl.tombstone") == [[0]]


@pytest.mark.parametrize(("part", "refuses"), [("data", "transform"), ("deleted", "load")])
def test_landed_file_with_fewer_rows_than_its_manifest_is_refused(processed: Pipeline, part: str, refuses: str) -> None:
    statement = {"data": "UPDATE currency SET currency_code = 'EUR'", "deleted": "DELETE FROM currency"}[part]
    processed.load()
    processed.totesys(statement)
    processed.ingest()
    claim(processed, processed.landing_bucket, 2, "currency", part, 2)
    if refuses == "load":
        processed.transform()
    with pytest.raises(CorruptObject, match=r"1 rows; its manifest says 2\. Restore"):
        getattr(processed, refuses)()
    assert processed.star("SELECT max(batch_id) FROM etl.batch") == [[1]]


def test_batch_that_says_nothing_of_the_stars_is_loaded(pipeline: Pipeline) -> None:
    pipeline.totesys(f"INSERT INTO department VALUES (1, 'Leds', NULL, NULL, {STAMPS})")
    pipeline.run()
    pipeline.totesys("DELETE FROM department")
    landed, processed, loaded = pipeline.run()
    assert (landed.deleted, processed.batches, loaded.last) == ({"department": 1}, 1, 2)
    assert pipeline.run()[0].batch is None


def test_loads_at_once_do_the_work_once_and_agree_on_the_end(processed: Pipeline) -> None:
    with connected(WAREHOUSE, processed.credentials(processed.warehouse), "totes-test") as holder:
        warehouse = Warehouse(holder)
        schema.migrate(warehouse)
        warehouse.lock()
        with ThreadPoolExecutor(2) as threads:
            loads = [threads.submit(processed.load) for _ in range(2)]
            give_up = time.monotonic() + 10
            while waiting(holder) < 2 and time.monotonic() < give_up:
                time.sleep(0.02)
            both_waited = waiting(holder) == 2
            holder.rollback()
        results = [load.result() for load in loads]
    assert both_waited
    assert sorted(result.batches for result in results) == [0, 1]
    assert [result.loaded_through for result in results] == [1, 1]
    assert processed.star("SELECT count(*) FROM dim_currency") == [[1]]


def waiting(connection: PipelineConnection) -> int:
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return int(connection.execute(query).scalar())
