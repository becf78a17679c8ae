"""The function behind the rule on executions that end: tells what no Catch can, and that all is well again."""

from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit

from totes.executions import SUCCEEDED
from totes.log import logger, metrics, observed
from totes.mail import Mail, failure_mail, recovery_mail
from totes.report import Zones, failure_of, recovery_of, was_told
from totes.settings import WatchSettings, read_settings


@observed
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Publishes a mail, if there is anything to tell that was not told yet."""
    settings = read_settings(WatchSettings)
    mail = _mail(event["detail"]["executionArn"], event["detail"]["status"], settings)
    if mail:
        boto3.client("sns").publish(TopicArn=settings.alerts_topic, Subject=mail.subject, Message=mail.body)
        logger.info("told", subject=mail.subject)
    metrics.add_metric("MailsSent", MetricUnit.Count, int(mail is not None))
    return {"told": mail is not None}


def _mail(execution: str, status: str, settings: WatchSettings) -> Mail | None:
    if status == SUCCEEDED:
        recovery = recovery_of(execution)
        return recovery_mail(recovery) if recovery else None
    if was_told(execution):
        return None
    zones = Zones(settings.landing_bucket, settings.processed_bucket)
    return failure_mail(failure_of(execution, zones, settings.docs))
