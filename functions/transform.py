"""The function behind the state Transform: landing zone → processed zone."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions._doctor import answers_doctor
from totes.contracts.requests import parse_request
from totes.runtime.allowance import Allowance
from totes.runtime.log import logger, metrics, observed
from totes.runtime.passes import in_total
from totes.runtime.settings import TransformSettings, read_settings
from totes.transform import prepare, transform


@answers_doctor
@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Brings every landed batch into the warehouse's shape; a backfill's event names a single batch."""
    request, settings = parse_request(event), read_settings(TransformSettings)
    if batch := event.get("batch"):
        return asdict(prepare(settings, batch))
    so_far = event.get("so_far", {})
    since = so_far.get("transform", {}).get("first")
    done = transform(settings, request, Allowance(context.get_remaining_time_in_millis), since)
    metrics.add_metric("RowsProcessed", MetricUnit.Count, sum(done.rows.values()))
    logger.info("transformed", first=done.first, last=done.last, rows=done.rows)
    return in_total("transform", so_far, asdict(done) | {"batches": done.batches})
