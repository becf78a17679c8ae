"""The function behind the state Load: processed zone → warehouse."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from totes.load import load
from totes.log import logger, metrics, observed
from totes.requests import parse_request
from totes.settings import LoadSettings, read_settings


@observed
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Loads every processed batch that the warehouse lacks."""
    request = parse_request(event)
    done = load(read_settings(LoadSettings), request)
    metrics.add_metric("RowsLoaded", MetricUnit.Count, sum(done.inserted.values()) + sum(done.updated.values()))
    logger.info("loaded", first=done.first, last=done.last, inserted=done.inserted, updated=done.updated)
    return asdict(done) | {"batches": done.batches}
