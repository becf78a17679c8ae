"""The function behind the state Report: writes the e-mail about a failure that was caught."""

from typing import Any

import boto3  # noqa: F401  while a function starts it has a whole processor; the first client would import it later
from aws_lambda_powertools.metrics import MetricUnit

from totes.alerts.email import failure_mail
from totes.alerts.failure import Caught, Zones, decision_on, failure_of
from totes.alerts.message import as_message, is_chat
from totes.alerts.repeats import Intervals
from totes.runtime.log import metrics, observed
from totes.runtime.settings import ReportSettings, read_settings


@observed
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Returns whether an e-mail is due, its subject and texts, and the last e-mail about the same kind of failure."""
    settings = read_settings(ReportSettings)
    failure = event["failure"]
    caught = Caught(failure["State"], failure["Error"], failure["Cause"]["errorMessage"])
    zones = Zones(settings.landing_bucket, settings.processed_bucket)
    failed = failure_of(event["execution"], zones, settings.docs, caught)
    decision = decision_on(failed, Intervals.parse(settings.mail_intervals))
    mail = failure_mail(failed, decision)
    metrics.add_metric("FailuresReported", MetricUnit.Count, 1)
    return {
        "due": decision.is_due,
        "subject": mail.subject,
        # For executions that began before this release, whose workflow reads it.
        "body": mail.body,
        "message": as_message(mail, chat=is_chat(settings.chat)),
        "repeats": decision.last_mail.as_json() if decision.last_mail else None,
    }
