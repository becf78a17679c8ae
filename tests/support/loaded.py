"""Prepares a pipeline that has run once, as a start for tests.

A first run takes a second; copying its result takes a tenth. A copied database has its template's rows, transaction ids
and relation ids, so the copy's next run sees the same as the original's. Only the database's own id differs; the copied
manifests get the new one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pytest

from tests.support import moto_inside
from tests.support.model import HistoryChecker
from tests.support.pipeline import Pipeline

_MANIFEST = re.compile(r"log/\d{8}\.json")


@dataclass(frozen=True)
class Loaded:
    """The state after a first run.

    Attributes:
        source, warehouse: the names of the template databases.
        landing, processed: the bytes of each object, by its key.
    """

    source: str
    warehouse: str
    landing: Mapping[str, bytes]
    processed: Mapping[str, bytes]
    history_checker: HistoryChecker

    @classmethod
    def by_running(cls, pipeline: Pipeline) -> Self:
        """Runs a pipeline for the first time. Its databases become the templates, so no test may use it after that."""
        with HistoryChecker(pipeline) as history_checker:
            pipeline.run()
        assert history_checker.violations() == []
        landing, processed = (_objects(pipeline, name) for name in (pipeline.landing_bucket, pipeline.processed_bucket))
        return cls(pipeline.source, pipeline.warehouse, landing, processed, history_checker)

    def put_lake(self, pipeline: Pipeline) -> None:
        """Puts the objects into a pipeline's empty buckets. The pipeline's databases are copies of the templates."""
        ((database,),) = pipeline.totesys(
            "SELECT CAST(oid AS bigint) FROM pg_database WHERE datname = current_database()"
        )
        buckets = {pipeline.landing_bucket: self.landing, pipeline.processed_bucket: self.processed}
        for bucket, objects in buckets.items():
            for key, body in objects.items():
                # Written without HTTP: 50 requests would take as long as a run.
                moto_inside.s3().put_object(
                    bucket, key, _of_database(body, database) if _MANIFEST.fullmatch(key) else body
                )


def on(start: str) -> pytest.MarkDecorator:
    """Makes a test start from a pipeline that has not run yet.

    Args:
        start: the fixture that names the template of totesys: `small_totesys`, `seeded_totesys` or
            `empty_totesys`.
    """
    return pytest.mark.parametrize("start", [start], indirect=True)


def _objects(pipeline: Pipeline, bucket: str) -> dict[str, bytes]:
    pages = pipeline.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [item["Key"] for page in pages for item in page["Contents"]]
    return {key: pipeline.s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def _of_database(manifest: bytes, database: int) -> bytes:
    document: dict[str, Any] = json.loads(manifest)
    document["source"]["database"] = database
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
