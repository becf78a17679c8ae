"""The function behind the state Load: processed zone → warehouse."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import boto3  # noqa: F401  while a function starts it has a whole processor; the first client would import it later
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions._doctor import answers_doctor
from totes.contracts.declarations import warehouse_tables
from totes.contracts.requests import parse_request
from totes.load import LoadResult, load
from totes.runtime.allowance import Allowance
from totes.runtime.log import count_by_table, logger, metrics, observed
from totes.runtime.passes import in_total, left_to
from totes.runtime.settings import LoadSettings, read_settings


@answers_doctor
@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Loads every processed batch that the warehouse lacks, or as many as the time allows.

    The result also says whether Transform left batches, so the state machine decides by this one result.
    """
    request, done = parse_request(event), LoadResult()
    try:
        load(read_settings(LoadSettings), request, done, Allowance(context.get_remaining_time_in_millis))
    finally:
        # After a failure, too: batches may have been committed before it, and the lag is known.
        _measure(done)
    logger.info("loaded", first=done.first, last=done.last, inserted=done.inserted, updated=done.updated)
    so_far = event.get("so_far", {})
    result = {name: value for name, value in asdict(done).items() if name != "processed_through"}
    return in_total("load", so_far, result | {"batches": done.batches}) | {
        "snapshot_at": done.snapshot_at.isoformat() if done.snapshot_at else so_far.get("load", {}).get("snapshot_at"),
        "more": done.more or so_far.get("transform", {}).get("more", False),
        "catching_up": left_to(so_far, result),
    }


def _measure(done: LoadResult) -> None:
    rows = {table: done.inserted.get(table, 0) + done.updated.get(table, 0) for table in done.inserted | done.updated}
    versions = sum(count for table, count in done.inserted.items() if warehouse_tables()[table].is_fact)
    metrics.add_metric("RowsLoaded", MetricUnit.Count, sum(rows.values()))
    metrics.add_metric("VersionsAdded", MetricUnit.Count, versions)
    metrics.add_metric("Tombstones", MetricUnit.Count, sum(done.tombstones.values()))
    count_by_table("RowsLoaded", rows)
    if done.behind is not None:
        metrics.add_metric("BatchesBehind", MetricUnit.Count, done.behind)
    if done.snapshot_at:
        metrics.add_metric("SnapshotAge", MetricUnit.Seconds, (datetime.now(UTC) - done.snapshot_at).total_seconds())
