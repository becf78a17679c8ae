"""What starts executions, and what becomes of a start that could not be made."""

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


def test_missed_start_is_kept_in_a_queue_that_takes_it() -> None:
    queue = TEMPLATE.text(TARGET["DeadLetterConfig"]["Arn"])
    (policy,) = TEMPLATE.of_type("AWS::SQS::QueuePolicy").values()
    (allowed,) = [statement for statement in policy["PolicyDocument"]["Statement"] if statement["Effect"] == "Allow"]
    assert (TEMPLATE.text(allowed["Resource"]), allowed["Action"]) == (queue, "sqs:SendMessage")
    source = TEMPLATE.text(allowed["Condition"]["ArnEquals"]["aws:SourceArn"])
    assert source == f"arn:aws:events:{DEV.region}:{DEV.account}:rule/{DEV.rule}"


def test_missed_start_raises_an_alarm() -> None:
    alarms = TEMPLATE.of_type("AWS::CloudWatch::Alarm").values()
    (alarm,) = [found for found in alarms if found["Namespace"] == "AWS/SQS"]
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    (dimension,) = alarm["Dimensions"]
    assert TEMPLATE.text(TARGET["DeadLetterConfig"]["Arn"]).endswith(f":{TEMPLATE.text(dimension['Value'])}")


def test_late_start_gives_up_before_it_is_useless() -> None:
    assert TARGET["Input"] == "{}"
    assert TARGET["RetryPolicy"]["MaximumRetryAttempts"] > 0
    # The business was promised half an hour.
    assert TARGET["RetryPolicy"]["MaximumEventAgeInSeconds"] < 30 * 60
