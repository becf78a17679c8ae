"""Sends the e-mails that no Catch of the state machine can send: time-outs, aborts, and the recovery after failures."""

import json
from datetime import UTC, datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from totes.alerts.email import Mail, failure_mail, recovery_mail
from totes.alerts.executions import SUCCEEDED
from totes.alerts.failure import Zones, decision_on, failure_of, fresh_as_of, is_settled, recovery_of
from totes.alerts.message import as_message, is_chat
from totes.alerts.repeats import Intervals
from totes.runtime.aws import client
from totes.runtime.log import logger
from totes.runtime.settings import WatchSettings


def tell(execution: str, status: str, settings: WatchSettings) -> bool:
    """Sends a mail if the execution's end is not reported yet and one is due; returns whether it did."""
    mail = _mail(execution, status, settings)
    if mail:
        message = json.dumps(as_message(mail, chat=is_chat(settings.chat)), ensure_ascii=False)
        client("sns").publish(
            TopicArn=settings.alerts_topic, Subject=mail.subject, Message=message, MessageStructure="json"
        )
        logger.info("e-mail sent", subject=mail.subject)
    return mail is not None


def age(execution: str) -> timedelta | None:
    """Returns the age of the warehouse's data after an execution has ended; None if it can't be determined."""
    try:
        as_of = fresh_as_of(execution)
    except (BotoCoreError, ClientError) as error:
        # Lambda would repeat a failed call, which would send the mail twice.
        logger.warning("freshness not known", error=type(error).__name__)
        return None
    return datetime.now(UTC) - as_of if as_of else None


def _mail(execution: str, status: str, settings: WatchSettings) -> Mail | None:
    if status == SUCCEEDED:
        recovery = recovery_of(execution)
        return recovery_mail(recovery) if recovery else None
    if is_settled(execution):
        return None
    zones = Zones(settings.landing_bucket, settings.processed_bucket)
    failure = failure_of(execution, zones, settings.docs)
    decision = decision_on(failure, Intervals.parse(settings.mail_intervals))
    if not decision.is_due:
        logger.info(
            "no e-mail: repeats an earlier failure", last_mail=decision.last_mail and decision.last_mail.as_json()
        )
        return None
    return failure_mail(failure, decision)
