"""The function behind the state Ingest: totesys → landing zone."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from totes.ingest import ingest
from totes.log import logger, metrics, observed
from totes.requests import parse_request
from totes.settings import IngestSettings, read_settings


@observed
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lands what is new; the result says whether there is anything to transform."""
    request = parse_request(event)
    done = ingest(read_settings(IngestSettings), request)
    for warning in done.warnings:
        logger.warning(warning)
    metrics.add_metric("Warnings", MetricUnit.Count, len(done.warnings))
    metrics.add_metric("RowsLanded", MetricUnit.Count, sum(done.rows.values()))
    metrics.add_metric("BatchesToTransform", MetricUnit.Count, done.landed_through - done.processed_through)
    logger.info("ingested", batch=done.batch, rows=done.rows, deleted=done.deleted, full_read=done.full_read)
    # What is odd, in full, may be a table's every column; the warnings say it in short.
    result = {name: value for name, value in asdict(done).items() if name not in ("undeclared", "ahead")}
    return result | {"warnings": done.warnings, "new_data": done.new_data}
