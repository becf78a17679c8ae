import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy

from tests.pipeline import Pipeline
from totes import warehouse
from totes.batch_log import entry
from totes.database import WAREHOUSE, connected
from totes.errors import CorruptObject

STAMPS = "'2024-01-01', '2024-01-01'"


@pytest.fixture
def processed(pipeline: Pipeline) -> Pipeline:
    """A pipeline with one batch that is not loaded yet."""
    pipeline.totesys(f"INSERT INTO currency VALUES (1, 'GBP', {STAMPS})")
    pipeline.ingest()
    pipeline.transform()
    return pipeline


def test_file_with_fewer_rows_than_its_manifest_is_refused(processed: Pipeline) -> None:
    text = processed.s3.get_object(Bucket=processed.processed_bucket, Key=entry(1))["Body"].read()
    manifest = json.loads(text)
    stored = manifest["tables"]["dim_currency"]["data"]
    stored["rows"] = 2
    processed.s3.put_object(Bucket=processed.processed_bucket, Key=entry(1), Body=json.dumps(manifest))
    with pytest.raises(CorruptObject, match=f"{stored['key']} holds 1 rows; its manifest says 2. Restore"):
        processed.load()
    assert processed.star("SELECT count(*) FROM etl.batch") == [[0]]
    assert processed.star("SELECT count(*) FROM dim_currency") == [[0]]


def test_batch_that_says_nothing_of_the_stars_is_loaded(pipeline: Pipeline) -> None:
    pipeline.totesys(f"INSERT INTO department VALUES (1, 'Leds', NULL, NULL, {STAMPS})")
    pipeline.run()
    pipeline.totesys("DELETE FROM department")
    landed, processed, loaded = pipeline.run()
    assert (landed.deleted, processed.batches, loaded.last) == ({"department": 1}, 1, 2)
    assert pipeline.run()[0].batch is None


def test_loads_at_once_do_the_work_once_and_agree_on_the_end(processed: Pipeline) -> None:
    with connected(WAREHOUSE, processed.credentials(processed.warehouse), "totes-test") as holder:
        warehouse.migrate(holder)
        warehouse.lock(holder)
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


def waiting(connection: sqlalchemy.Connection) -> int:
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return int(connection.exec_driver_sql(query).scalar_one())
