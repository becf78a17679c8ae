from pathlib import Path

import pytest

from local.aws.deployment import STATE_MACHINE, Deployment, DeploymentInvalid, state_machine_definition
from local.aws.schedule import parse_rate
from totes.runtime.names import Names

NAMES = Names("local", "123456789012", "eu-west-2")

TEMPLATE = """
params:
  default: {rate: rate(5 minutes)}
  slow: {rate: rate(1 hour)}
provider: {timeout: 30, environment: {STAGE: "${sls:stage}"}}
functions:
  load: {name: "totes-${sls:stage}-load", timeout: 300, memorySize: 2048, environment: {BUCKET: {Ref: Bucket}}}
resources:
  Resources:
    Alarm:
      Type: AWS::CloudWatch::Alarm
      Properties: {AlarmActions: [!Ref AlertsTopic, !Sub "${AWS::Region}"], Dimensions: !If [A, {b: 1}, {}]}
    ScheduleRule:
      Type: AWS::Events::Rule
      Properties: {Name: "totes-${sls:stage}-schedule", ScheduleExpression: "${param:rate}"}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    file = tmp_path / "serverless.yml"
    file.write_text(TEMPLATE)
    return file


@pytest.mark.parametrize("stage", ["local", "dev", "prod"])
def test_shipped_rule_is_named_and_timed_as_the_stack_expects(stage: str) -> None:
    rule = Deployment(stage).schedule_rule()

    assert rule.name == Names(stage, "123456789012", "eu-west-2").rule
    assert rule.state == "ENABLED"
    assert parse_rate(rule.expression)


def test_parameter_of_the_stage_takes_precedence(template: Path) -> None:
    assert Deployment("local", template).schedule_rule().expression == "rate(5 minutes)"
    assert Deployment("slow", template).schedule_rule().expression == "rate(1 hour)"


def test_limits_of_a_function_come_from_it_then_the_provider(template: Path) -> None:
    deployment = Deployment("local", template)

    assert [deployment.timeout(name) for name in ("load", "ingest")] == [300, 30]
    assert [deployment.memory(name) for name in ("load", "ingest")] == [2048, 1024]


def test_function_inherits_from_the_provider(template: Path) -> None:
    assert Deployment("slow", template).functions() == {
        "load": {
            "name": "totes-slow-load",
            "timeout": 300,
            "memorySize": 2048,
            "environment": {"STAGE": "slow", "BUCKET": {"Ref": "Bucket"}},
        }
    }


def test_resources_are_those_of_the_stage(template: Path) -> None:
    rule = Deployment("slow", template).resources()["ScheduleRule"]

    assert rule["Properties"] == {"Name": "totes-slow-schedule", "ScheduleExpression": "rate(1 hour)"}


def test_unknown_variable_is_named(template: Path) -> None:
    template.write_text(TEMPLATE.replace("${param:rate}", "${param:pace}"))

    with pytest.raises(DeploymentInvalid, match=r"\$\{param:pace\}"):
        Deployment("local", template).schedule_rule()


def test_missing_rule_is_an_error(template: Path) -> None:
    template.write_text(TEMPLATE.replace("AWS::Events::Rule", "AWS::Events::EventBus"))

    with pytest.raises(DeploymentInvalid, match="has 0 rules"):
        Deployment("local", template).schedule_rule()


def test_shipped_workflow_refers_to_the_stages_resources_only() -> None:
    definition = state_machine_definition(STATE_MACHINE, NAMES)

    assert "#{" not in definition
    assert NAMES.function_arn("transform") in definition
    assert NAMES.topic_arn in definition


def test_unknown_reference_is_named(tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    file.write_text('{"Resource": "#{OtherLambdaFunction.Arn}"}')

    with pytest.raises(DeploymentInvalid, match=r"#\{OtherLambdaFunction\.Arn\}.*AlertsTopic, BackfillLambdaFunction"):
        state_machine_definition(file, NAMES)
