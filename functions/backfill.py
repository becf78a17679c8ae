"""The function behind the states of a backfill that read totesys: totesys → landing zone, in ranges."""

from typing import Any

import boto3  # noqa: F401  while a function starts it has a whole processor; the first client would import it later

from totes.backfill import Backfill
from totes.contracts.requests import parse_backfill, parse_request
from totes.runtime.log import observed
from totes.runtime.settings import BackfillSettings, read_settings
from totes.source.backfill_plan import Range


@observed
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Takes one step of a backfill."""
    return take_step(event)


def take_step(event: dict[str, Any]) -> dict[str, Any]:
    """Plans the backfill, reads a range, or lands the batches."""
    backfill, step = Backfill(read_settings(BackfillSettings), parse_request(event).execution), event["backfill"]
    if "plan" in step:
        return backfill.plan(parse_backfill(step["plan"]))
    return backfill.read(Range(**step["read"])) if "read" in step else backfill.land()
