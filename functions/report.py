"""The function behind the state Report: writes the e-mail about a failure that was caught."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from totes.alerts.email import failure_mail
from totes.alerts.failure import Caught, Zones, failure_of
from totes.runtime.log import metrics, observed
from totes.runtime.settings import ReportSettings, read_settings


@observed
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Returns the subject and the body of the mail."""
    settings = read_settings(ReportSettings)
    failure = event["failure"]
    caught = Caught(failure["State"], failure["Error"], failure["Cause"]["errorMessage"])
    zones = Zones(settings.landing_bucket, settings.processed_bucket)
    mail = failure_mail(failure_of(event["execution"], zones, settings.docs, caught))
    metrics.add_metric("FailuresReported", MetricUnit.Count, 1)
    return asdict(mail)
