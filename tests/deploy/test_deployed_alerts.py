"""`sls deploy` creates the schedule, the alarms, their topic and the dashboard."""

import json

import pytest

from tests.deploy.stage import MAILBOX, Stage, statements
from totes.runtime.names import FUNCTIONS

ALARMS = ("freshness", "missed-ends", "missed-starts", "warnings", "watch")
WATCHED = {
    "missed-ends": "totes-dev-missed-ends",
    "missed-starts": "totes-dev-missed-starts",
    "warnings": "totes-ingest",
    "watch": "totes-dev-watch",
}


def test_topic_is_encrypted_and_mails(stage: Stage) -> None:
    sns, resources = stage.client("sns"), stage.resources()
    attributes = sns.get_topic_attributes(TopicArn=stage.names.topic_arn)["Attributes"]
    [subscription] = sns.list_subscriptions_by_topic(TopicArn=stage.names.topic_arn)["Subscriptions"]
    key = stage.client("kms").get_key_policy(KeyId=resources["AlertsKey"], PolicyName="default")["Policy"]
    publishing = statements(attributes["Policy"])

    assert attributes["KmsMasterKeyId"] == resources["AlertsKey"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", MAILBOX)
    assert "cloudwatch.amazonaws.com" in publishing["AlarmsAndBudgetPublish"]["Principal"]["Service"]
    for sid in ("AlarmsAndBudgetPublish", "RulesPublish"):
        assert statements(key)[sid]["Principal"] == publishing[sid]["Principal"]


def test_rule_starts_the_machine_every_five_minutes(stage: Stage) -> None:
    events, resources = stage.client("events"), stage.resources()
    rule = events.describe_rule(Name=stage.names.rule)
    [target] = events.list_targets_by_rule(Rule=stage.names.rule)["Targets"]

    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(5 minutes)", "ENABLED")
    assert target == {
        "Id": "pipeline",
        "Arn": stage.names.state_machine_arn,
        "RoleArn": stage.role("ScheduleRole"),
        "Input": "{}",
        "RetryPolicy": {"MaximumRetryAttempts": 8, "MaximumEventAgeInSeconds": 900},
        "DeadLetterConfig": {"Arn": f"arn:aws:sqs:{stage.names.region}:{stage.names.account}:totes-dev-missed-starts"},
    }
    assert resources["ScheduleRule"] == stage.names.rule


def test_queue_takes_from_the_rule_alone(stage: Stage) -> None:
    queue = stage.client("sqs").get_queue_attributes(QueueUrl=stage.resources()["MissedStarts"], AttributeNames=["All"])
    policy = statements(queue["Attributes"]["Policy"])
    rule = stage.client("events").describe_rule(Name=stage.names.rule)["Arn"]

    assert queue["Attributes"]["MessageRetentionPeriod"] == str(14 * 24 * 3600)
    assert policy["FromTheRule"]["Condition"] == {"ArnEquals": {"aws:SourceArn": rule}}
    assert policy["TlsOnly"]["Effect"] == "Deny"


def test_end_that_could_not_be_told_of_is_kept(stage: Stage) -> None:
    queue = f"arn:aws:sqs:{stage.names.region}:{stage.names.account}:totes-dev-missed-ends"
    rules = [stage.names.ended_rule, stage.names.backfill_ended_rule]
    events = stage.client("events")
    for rule in rules:
        [target] = events.list_targets_by_rule(Rule=rule)["Targets"]
        assert target["DeadLetterConfig"] == {"Arn": queue}
        assert target["RetryPolicy"] == {"MaximumRetryAttempts": 16, "MaximumEventAgeInSeconds": 3600}
    kept = stage.client("lambda").get_function_event_invoke_config(FunctionName=stage.names.function("watch"))
    assert kept["DestinationConfig"]["OnFailure"] == {"Destination": queue}
    attributes = stage.client("sqs").get_queue_attributes(
        QueueUrl=stage.resources()["MissedEnds"], AttributeNames=["All"]
    )
    condition = statements(attributes["Attributes"]["Policy"])["FromTheRules"]["Condition"]
    assert condition == {"ArnEquals": {"aws:SourceArn": [events.describe_rule(Name=rule)["Arn"] for rule in rules]}}


def test_alarms_on_several_metrics_and_on_each_function_are_there(stage: Stage) -> None:
    found = {alarm["AlarmName"]: alarm for alarm in stage.client("cloudwatch").describe_alarms()["MetricAlarms"]}
    for name in FUNCTIONS:
        [dimension] = found[f"totes-dev-duration-{name}"]["Dimensions"]
        assert dimension == {"Name": "FunctionName", "Value": stage.names.function(name)}
        assert found[f"totes-dev-duration-{name}"]["Threshold"] == 800 * stage.function(name)["Timeout"]
    for name, count in (("throttles", len(FUNCTIONS)), ("lost-events", 4)):
        queries = found[f"totes-dev-{name}"]["Metrics"]
        assert len([query for query in queries if "MetricStat" in query]) == count


def test_machines_log_their_failures(stage: Stage) -> None:
    for machine, name in (("PipelineStateMachine", "pipeline"), ("BackfillStateMachine", "backfill")):
        described = stage.client("stepfunctions").describe_state_machine(stateMachineArn=stage.resources()[machine])
        logging = described["loggingConfiguration"]
        [destination] = logging["destinations"]
        assert (logging["level"], logging["includeExecutionData"]) == ("ERROR", False)
        group = f":log-group:/aws/vendedlogs/states/totes-dev-{name}"
        assert group in destination["cloudWatchLogsLogGroup"]["logGroupArn"]


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarm_tells_the_topic(stage: Stage, alarm: str) -> None:
    [found] = stage.client("cloudwatch").describe_alarms(AlarmNames=[f"totes-dev-{alarm}"])["MetricAlarms"]
    watched = {dimension["Value"] for dimension in found["Dimensions"]}

    assert found["AlarmActions"] == [stage.names.topic_arn]
    # The rule's function reports a recovery, so the freshness alarm does not.
    assert found["OKActions"] == ([] if alarm == "freshness" else [stage.names.topic_arn])
    assert watched == {WATCHED.get(alarm, stage.names.state_machine_arn)}
    assert found["TreatMissingData"] == ("breaching" if alarm == "freshness" else "notBreaching")


def test_dashboard_shows_what_is_deployed(stage: Stage) -> None:
    body = json.loads(stage.client("cloudwatch").get_dashboard(DashboardName="totes-dev")["DashboardBody"])
    widgets = {widget["properties"].get("title", ""): widget["properties"] for widget in body["widgets"]}
    alarms = stage.client("cloudwatch").describe_alarms()["MetricAlarms"]
    links = widgets[""]["markdown"]

    assert set(widgets["Alarms"]["alarms"]) == {alarm["AlarmArn"] for alarm in alarms}
    assert {metric[3] for metric in widgets["Executions"]["metrics"]} == {stage.names.state_machine_arn}
    assert widgets["Executions"]["region"] == stage.names.region
    assert stage.names.state_machine_arn in links
    assert f"/{stage.names.landing_bucket})" in links
    assert stage.outputs()["Dashboard"].endswith("region=eu-west-2#dashboards/dashboard/totes-dev")
