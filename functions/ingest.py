"""The function behind the state Ingest: totesys → landing zone."""

from dataclasses import asdict
from typing import Any

import boto3  # noqa: F401  while a function starts it has a whole processor; the first client would import it later
from aws_lambda_powertools.metrics import MetricUnit

from functions._doctor import answers_doctor
from totes.contracts.requests import parse_request
from totes.ingest import ingest
from totes.runtime.log import logger, metrics, observed
from totes.runtime.settings import IngestSettings, read_settings

# Left out of the result: these may list every column of a table, and the warnings sum them up.
_ODD = ("undeclared", "ahead", "unlogged", "clock_back")


@answers_doctor
@observed
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lands the changes of totesys; the result says whether there is anything to transform."""
    if "backfill" in event:
        # A backfill that began before this release calls this function until it ends, and again if it is redriven, up
        # to 14 days later. Remove this branch and its rights in resources/roles.yml with the next release.
        from functions.backfill import take_step  # only here: it imports what reads rows

        return take_step(event)
    request = parse_request(event)
    done = ingest(read_settings(IngestSettings), request)
    for warning in done.warnings:
        logger.warning(warning)
    metrics.add_metric("Warnings", MetricUnit.Count, len(done.warnings))
    metrics.add_metric("RowsLanded", MetricUnit.Count, sum(done.rows.values()))
    metrics.add_metric("BatchesToTransform", MetricUnit.Count, done.landed_through - done.processed_through)
    logger.info("ingested", batch=done.batch, rows=done.rows, deleted=done.deleted, full_read=done.full_read)
    result = {name: value for name, value in asdict(done).items() if name not in _ODD}
    # A redriven execution runs the workflow that it began with, up to 14 days later. The previous release's workflow
    # selects dry_run from the result: without the field such an execution could never succeed.
    return result | {"warnings": done.warnings, "new_data": done.new_data, "dry_run": False}
