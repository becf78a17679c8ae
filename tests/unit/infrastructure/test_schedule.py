"""The rule that starts executions, and the queue for starts that could not be made."""

from typing import Any

import boto3
import pytest

from tests.unit.infrastructure.template import DEV, Call, Template

TEMPLATE = Template()
RULE = TEMPLATE.resources["ScheduleRule"]["Properties"]
(TARGET,) = RULE["Targets"]


def test_rule_starts_the_pipeline_as_a_role_that_may() -> None:
    assert TEMPLATE.text(TARGET["Arn"]) == DEV.state_machine_arn
    role = TARGET["RoleArn"]["Fn::GetAtt"][0]
    (statement,) = TEMPLATE.statements(role)
    assert statement.allows(Call("states:StartExecution", DEV.state_machine_arn))
    trust = TEMPLATE.resources[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [statement["Principal"] for statement in trust] == [{"Service": "events.amazonaws.com"}]


def targets() -> list[tuple[str, dict[str, Any]]]:
    """Returns all targets of all rules, with the rule's logical id."""
    rules = TEMPLATE.of_type("AWS::Events::Rule")
    return [(name, target) for name, rule in rules.items() for target in rule["Targets"]]


@pytest.mark.parametrize(("rule", "target"), targets(), ids=lambda value: value if isinstance(value, str) else "")
def test_event_that_can_not_be_delivered_is_kept_in_a_queue_that_takes_it(rule: str, target: dict[str, Any]) -> None:
    queue = TEMPLATE.text(target["DeadLetterConfig"]["Arn"])
    taking = [
        statement
        for policy in TEMPLATE.of_type("AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and TEMPLATE.text(statement["Resource"]) == queue
    ]
    (allowed,) = taking
    assert (allowed["Principal"], allowed["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    sources = allowed["Condition"]["ArnEquals"]["aws:SourceArn"]
    sources = sources if isinstance(sources, list) else [sources]
    assert TEMPLATE.text({"Fn::GetAtt": [rule, "Arn"]}) in [TEMPLATE.text(source) for source in sources]
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 3600


def test_every_queue_raises_an_alarm_when_anything_is_in_it() -> None:
    watched = [
        TEMPLATE.text(dimension["Value"])
        for alarm in TEMPLATE.of_type("AWS::CloudWatch::Alarm").values()
        if (alarm.get("Namespace"), alarm.get("MetricName")) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
        for dimension in alarm["Dimensions"]
        if dimension["Name"] == "QueueName" and alarm["Threshold"] == 1
    ]
    assert sorted(watched) == sorted(queue["QueueName"] for queue in TEMPLATE.of_type("AWS::SQS::Queue").values())


@pytest.mark.parametrize(
    ("rule", "machine"), [("EndedRule", DEV.state_machine_arn), ("BackfillEndedRule", DEV.backfill_arn)]
)
def test_every_end_of_an_execution_is_told_of(rule: str, machine: str) -> None:
    """The pattern uses the documented words of Step Functions' events: one that matches nothing raises no error."""
    pattern = TEMPLATE.resources[rule]["Properties"]["EventPattern"]
    assert pattern["source"] == ["aws.states"]
    assert pattern["detail-type"] == ["Step Functions Execution Status Change"]
    assert [TEMPLATE.text(arn) for arn in pattern["detail"]["stateMachineArn"]] == [machine]
    # All states of an execution, except RUNNING and PENDING_REDRIVE, in which it has not ended.
    states = set(
        boto3.client("stepfunctions", region_name=DEV.region).meta.service_model.shape_for("ExecutionStatus").enum
    )
    assert set(pattern["detail"]["status"]) == states - {"RUNNING", "PENDING_REDRIVE"}


def test_rule_that_calls_a_function_may() -> None:
    """A permission for another rule or function refuses the call, and nothing reports that."""
    calling = {
        (TEMPLATE.text(target["Arn"]), TEMPLATE.text({"Fn::GetAtt": [rule, "Arn"]}))
        for rule, target in targets()
        if ":lambda:" in TEMPLATE.text(target["Arn"])
    }
    permissions = TEMPLATE.of_type("AWS::Lambda::Permission").values()
    assert {(found["Action"], found["Principal"]) for found in permissions} == {
        ("lambda:InvokeFunction", "events.amazonaws.com")
    }
    allowed = {(TEMPLATE.text(found["FunctionName"]), TEMPLATE.text(found["SourceArn"])) for found in permissions}
    assert allowed == calling


def test_failed_watch_is_kept_where_its_role_may_send() -> None:
    (config,) = TEMPLATE.of_type("AWS::Lambda::EventInvokeConfig").values()
    # Lambda refuses to create it as long as the function's role may not send.
    function = config["FunctionName"]["Ref"].removesuffix("LambdaFunction").lower()
    queue = TEMPLATE.text(config["DestinationConfig"]["OnFailure"]["Destination"])
    role = TEMPLATE.functions[function]["role"]
    assert any(found.allows(Call("sqs:SendMessage", queue)) for found in TEMPLATE.statements(role))
    called = {target["Arn"]["Fn::GetAtt"][0] for _, target in targets() if "Fn::GetAtt" in target["Arn"]}
    assert config["FunctionName"]["Ref"] in called


def test_late_start_gives_up_before_it_is_useless() -> None:
    assert TARGET["Input"] == "{}"
    assert TARGET["RetryPolicy"]["MaximumRetryAttempts"] > 0
    # The promise to the business is half an hour.
    assert TARGET["RetryPolicy"]["MaximumEventAgeInSeconds"] < 30 * 60
