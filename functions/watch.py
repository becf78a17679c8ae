"""The function behind the rule on executions that end."""

from typing import Any

import boto3  # noqa: F401  while a function starts it has a whole processor; the first client would import it later
from aws_lambda_powertools.metrics import MetricUnit

from totes.alerts.watch import age, tell
from totes.runtime.log import metrics, observed
from totes.runtime.settings import WatchSettings, read_settings


@observed
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Sends a mail if the execution's end is not reported yet and one is due, and measures the freshness."""
    detail = event["detail"]
    told = tell(detail["executionArn"], detail["status"], read_settings(WatchSettings))
    metrics.add_metric("MailsSent", MetricUnit.Count, int(told))
    if fresh := age(detail["executionArn"]):
        metrics.add_metric("Freshness", MetricUnit.Seconds, fresh.total_seconds())
    return {"told": told}
