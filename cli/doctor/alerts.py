"""Looks whether somebody is told when something is wrong, and what the alarms, queues and metrics say."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.doctor.stage import Stage
from totes.alerts.executions import SUCCEEDED, latest
from totes.runtime.aws import client
from totes.verify.doctor.findings import Finding, failed, ok, warning

_PENDING, _DELETED = "PendingConfirmation", "Deleted"
# The resource that is there if the deployment was given an address.
_BY_EMAIL = "AlertsByEmail"
# CloudWatch lists a metric a quarter of an hour after its first value; the only span that it knows is three hours.
_ARRIVES, _LOOKED_BACK, _RECENTLY = timedelta(minutes=20), timedelta(hours=3), "PT3H"
_EXECUTIONS = 50


def look_at_subscriptions(stage: Stage) -> Iterator[Finding]:
    """Looks whether an address has confirmed that it wants the alerts."""
    found = client("sns").list_subscriptions_by_topic(TopicArn=stage.names.topic_arn)["Subscriptions"]
    pending = [each for each in found if each["SubscriptionArn"] == _PENDING]
    confirmed = [each for each in found if each["SubscriptionArn"] not in (_PENDING, _DELETED)]
    for each in pending:
        yield warning(
            "subscription-pending",
            f"{_address(each)} has not confirmed the subscription, so it gets no alert.",
            _confirm(stage, each),
        )
    if confirmed:
        yield ok("subscription", f"Alerts go to {', '.join(map(_address, confirmed))}.")
    elif not pending:
        yield from _nobody(stage)


def _confirm(stage: Stage, subscription: dict[str, Any]) -> str:
    """Returns what makes a subscription that is pending a confirmed one."""
    if not _is_email(subscription):
        return "Have the endpoint answer the request of SNS for a confirmation, or subscribe it again."
    return (
        "Click the link in the mail *AWS Notification - Subscription Confirmation*. It is valid for two days; "
        f"`{_subscribe(stage)} {subscription['Endpoint']}` sends another."
    )


def _nobody(stage: Stage) -> Iterator[Finding]:
    if _is_declared(stage):
        yield failed(
            "subscription-gone",
            "The deployment has an address for alerts, and its subscription is gone: it was ended, or never confirmed.",
            f"`{_subscribe(stage)} you@example.com`, and click the link in the mail that comes.",
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
    # The address of a web hook is its password.
    return str(subscription["Endpoint"]) if _is_email(subscription) else f"an endpoint by {subscription['Protocol']}"


def _is_email(subscription: dict[str, Any]) -> bool:
    return str(subscription["Protocol"]).startswith("email")


def look_at_alarms(stage: Stage) -> Iterator[Finding]:
    """Looks at the state of each declared alarm.

    One that went off before an execution which succeeded since is a warning: it lags, or asks for something else.
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
    # It says what to do, as the alarm's e-mail does.
    description = alarm.get("AlarmDescription") or "docs/runbook.md#alarms says what to do."
    if state == "ALARM" and since > succeeded:
        yield failed("alarm", f"{said}.", description)
    elif state == "ALARM":
        later = "though an execution that began later has succeeded"
        yield warning("alarm-since-success", f"{said}, {later}.", description)
    elif state == "INSUFFICIENT_DATA":
        yield warning(
            "alarm-without-data",
            f"{name} has no data, since {_shown(since)}.",
            "Nothing in the first quarter of an hour after it was made. Later: deploy again.",
        )
    if not alarm.get("ActionsEnabled", True):
        yield warning(
            "alarm-muted",
            f"The actions of {name} are switched off, so it tells nobody.",
            f"`aws cloudwatch enable-alarm-actions --alarm-names {name}`",
        )


def look_at_queues(stage: Stage) -> Iterator[Finding]:
    """Looks whether the dead-letter queues are empty."""
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
                f"{name} holds {count} event{'s' * (count > 1)} that could not be delivered.",
                f"`aws sqs receive-message --queue-url {url} --message-attribute-names All` shows what and why "
                f"(docs/runbook.md#alarms). Then `aws sqs purge-queue --queue-url {url}`.",
            )
    if not full:
        yield ok("queues", f"{' and '.join(names)} are empty.")


def look_at_metrics(stage: Stage) -> Iterator[Finding]:
    """Looks whether the freshness arrives, which `watch` sends after each execution."""
    now = datetime.now(UTC)
    ended = [each.stopped for each in latest(stage.names, _EXECUTIONS, SUCCEEDED) if each.stopped]
    if not any(now - _LOOKED_BACK < each < now - _ARRIVES for each in ended):
        yield ok("metrics", "No execution has ended lately whose freshness should have arrived by now.")
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
            f"Executions have ended, and {watch} has sent no Freshness for three hours: nobody watches over them.",
            f"`aws logs tail {stage.names.log_group('watch')} --since 3h` says why; if it is empty, nothing calls the "
            f"function: {stage.deploy[0].lower()}{stage.deploy[1:]}",
        )


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
