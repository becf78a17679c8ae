"""Checks the alerts' subscriptions, the alarms, the dead-letter queues and the metrics."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.doctor.stage import Stage
from totes.alerts.executions import SUCCEEDED, latest
from totes.runtime.aws import client
from totes.verify.doctor.findings import Finding, failed, ok, warning

_PENDING, _DELETED = "PendingConfirmation", "Deleted"
# This resource exists if the deployment was given an address.
_BY_EMAIL = "AlertsByEmail"
# CloudWatch lists a metric 15 minutes after its first value. Its only filter for recent metrics is three hours.
_ARRIVES, _LOOKED_BACK, _RECENTLY = timedelta(minutes=20), timedelta(hours=3), "PT3H"
_EXECUTIONS = 50


def look_at_subscriptions(stage: Stage) -> Iterator[Finding]:
    """Checks that at least one address has confirmed its subscription to the alerts."""
    found = client("sns").list_subscriptions_by_topic(TopicArn=stage.names.topic_arn)["Subscriptions"]
    pending = [each for each in found if each["SubscriptionArn"] == _PENDING]
    confirmed = [each for each in found if each["SubscriptionArn"] not in (_PENDING, _DELETED)]
    for each in pending:
        yield warning(
            "subscription-pending",
            f"{_address(each)} has not confirmed its subscription, so it gets no alerts.",
            _confirm(stage, each),
        )
    if confirmed:
        yield ok("subscription", f"Alerts go to {', '.join(map(_address, confirmed))}.")
    elif not pending:
        yield from _nobody(stage)


def _confirm(stage: Stage, subscription: dict[str, Any]) -> str:
    """Returns how to confirm a pending subscription."""
    if not _is_email(subscription):
        return "Let the endpoint confirm the request from SNS, or subscribe it again."
    return (
        "Click the link in the e-mail *AWS Notification - Subscription Confirmation*. It is valid for two days; "
        f"`{_subscribe(stage)} {subscription['Endpoint']}` sends another one."
    )


def _nobody(stage: Stage) -> Iterator[Finding]:
    if _is_declared(stage):
        yield failed(
            "subscription-gone",
            "The deployment has an address for alerts, but no subscription: it was cancelled, or never confirmed.",
            f"Run `{_subscribe(stage)} you@example.com`, and click the link in the e-mail.",
        )
    else:
        yield warning(
            "subscription-none",
            "Nobody gets the alerts.",
            f"Deploy with an address: `TOTES_ALERT_EMAIL=you@example.com npx sls deploy --stage {stage.names.stage}`.",
        )


def _is_declared(stage: Stage) -> bool:
    try:
        client("cloudformation").describe_stack_resource(StackName=stage.stack, LogicalResourceId=_BY_EMAIL)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return False
    return True


def _subscribe(stage: Stage) -> str:
    return f"aws sns subscribe --topic-arn {stage.names.topic_arn} --protocol email --notification-endpoint"


def _address(subscription: dict[str, Any]) -> str:
    # A web hook's address is a secret.
    return str(subscription["Endpoint"]) if _is_email(subscription) else f"an endpoint by {subscription['Protocol']}"


def _is_email(subscription: dict[str, Any]) -> bool:
    return str(subscription["Protocol"]).startswith("email")


def look_at_alarms(stage: Stage) -> Iterator[Finding]:
    """Checks each declared alarm's state.

    An alarm that went off before a successful execution is only a warning: it lags, or has another cause.
    """
    names = [alarm["AlarmName"] for alarm in stage.declared("AWS::CloudWatch::Alarm")]
    found = client("cloudwatch").describe_alarms(AlarmNames=names, MaxRecords=100)["MetricAlarms"]
    newest = next(iter(latest(stage.names, 1, SUCCEEDED)), None)
    succeeded = newest.started if newest else datetime.min.replace(tzinfo=UTC)
    wrong = [*_missing(stage, names, found), *(each for alarm in found for each in _of_alarm(alarm, succeeded))]
    yield from wrong
    if not wrong:
        yield ok("alarms", f"All {len(found)} alarms are OK.")


def _missing(stage: Stage, names: list[str], found: list[dict[str, Any]]) -> Iterator[Finding]:
    if missing := sorted(set(names) - {alarm["AlarmName"] for alarm in found}):
        yield failed("alarm-missing", f"There is no alarm {', '.join(missing)}.", stage.deploy)


def _of_alarm(alarm: dict[str, Any], succeeded: datetime) -> Iterator[Finding]:
    name, state = alarm["AlarmName"], alarm["StateValue"]
    since = alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"]
    said = f"{name} has been going off since {_shown(since)}"
    # The description contains the remedy, as in the alarm's e-mail.
    description = alarm.get("AlarmDescription") or "See docs/runbook.md#alarms."
    if state == "ALARM" and since > succeeded:
        yield failed("alarm", f"{said}.", description)
    elif state == "ALARM":
        later = "but an execution that started later has succeeded"
        yield warning("alarm-since-success", f"{said}, {later}.", description)
    elif state == "INSUFFICIENT_DATA":
        yield warning(
            "alarm-without-data",
            f"{name} has had no data since {_shown(since)}.",
            "Wait 15 minutes if the alarm is new; else deploy again.",
        )
    if not alarm.get("ActionsEnabled", True):
        yield warning(
            "alarm-muted",
            f"The actions of {name} are disabled, so it alerts nobody.",
            f"Run `aws cloudwatch enable-alarm-actions --alarm-names {name}`.",
        )


def look_at_queues(stage: Stage) -> Iterator[Finding]:
    """Checks that the dead-letter queues are empty."""
    names = [queue["QueueName"] for queue in stage.declared("AWS::SQS::Queue")]
    sqs, wanted = client("sqs"), ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    full = False
    for name in names:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
        if count := sum(int(value) for value in counts.values()):
            full = True
            yield warning(
                "queue-not-empty",
                f"{name} has {count} undelivered event{'s' * (count > 1)}.",
                f"`aws sqs receive-message --queue-url {url} --message-attribute-names All` shows each event and its "
                f"error (docs/runbook.md#alarms). Then run `aws sqs purge-queue --queue-url {url}`.",
            )
    if not full:
        yield ok("queues", f"{' and '.join(names)} are empty.")


def look_at_metrics(stage: Stage) -> Iterator[Finding]:
    """Checks that the metric Freshness arrives, which `watch` sends after each execution."""
    now = datetime.now(UTC)
    ended = [each.stopped for each in latest(stage.names, _EXECUTIONS, SUCCEEDED) if each.stopped]
    if not any(now - _LOOKED_BACK < each < now - _ARRIVES for each in ended):
        yield ok("metrics", "No recent execution should have sent its freshness by now.")
        return
    found = client("cloudwatch").list_metrics(
        Namespace=stage.stack,
        MetricName="Freshness",
        Dimensions=[{"Name": "service", "Value": "totes-watch"}],
        RecentlyActive=_RECENTLY,
    )["Metrics"]
    watch = stage.names.function("watch")
    if found:
        yield ok("metrics", f"The metric Freshness arrives from {watch}.")
    else:
        yield failed(
            "metrics-missing",
            f"Executions have ended, but {watch} has sent no Freshness for three hours, so failures go unnoticed.",
            f"`aws logs tail {stage.names.log_group('watch')} --since 3h` shows why. If it is empty, nothing calls the "
            f"function: {stage.deploy[0].lower()}{stage.deploy[1:]}",
        )


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
