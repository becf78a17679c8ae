"""Copies a lake with a history out of the bucket into a folder, beside the warehouse that was loaded from it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import MakesPipelines
from tests.lake.views import BACK, VIEWS, Rows
from tests.support.pipeline import Pipeline
from tests.support.replays import declare_quarantine, make_history


@pytest.fixture(scope="package")
def lived(pipelines: MakesPipelines, small_totesys: str) -> Iterator[Pipeline]:
    """Yields ten batches: amendments, silent updates, deletions, a return, a quarantine, a table delivered twice."""
    with pipelines(small_totesys) as pipeline, pytest.MonkeyPatch.context() as patch:
        declare_quarantine(patch)
        make_history(pipeline)
        pipeline.run("sales_order", "design")
        ((order,),) = pipeline.totesys("SELECT CAST(o AS text) FROM sales_order AS o WHERE sales_order_id = %s", BACK)
        pipeline.totesys(f"DELETE FROM sales_order WHERE sales_order_id = {BACK}")
        pipeline.totesys("DELETE FROM payment WHERE payment_id IN (3, 4)")
        pipeline.run()
        pipeline.totesys("INSERT INTO sales_order SELECT (CAST(%s AS sales_order)).*", order)
        pipeline.run()
        pipeline.totesys("UPDATE payment SET paid = NOT paid WHERE payment_id = 5")
        pipeline.run()
        yield pipeline


@pytest.fixture(scope="package")
def lake(lived: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a copy of the processed bucket, with the objects that a dead transform may have left beside it."""
    folder = tmp_path_factory.mktemp("lake")
    for page in lived.s3.get_paginator("list_objects_v2").paginate(Bucket=lived.processed_bucket):
        for item in page["Contents"]:
            path = folder / item["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            lived.s3.download_file(lived.processed_bucket, item["Key"], str(path))
    for path in folder.glob("*/*/batch=*/*.parquet"):
        # Another version of pyarrow wrote it: the same rows as other bytes, and so under another name.
        pq.write_table(pq.read_table(path, partitioning=None), path.with_name("orphan.parquet"), compression="gzip")
    return folder


@pytest.fixture(scope="package")
def current(lived: Pipeline) -> Mapping[str, Rows]:
    """Returns the warehouse's present rows in order of their keys, by the name of the view or dimension."""
    return {
        view: [
            tuple(row)
            for row in lived.star(f"SELECT {', '.join(c.name for c in table.data_columns)} FROM {view} ORDER BY 1")
        ]
        for view, table in VIEWS.items()
    }
