"""Canaries: each test fails when moto does by itself what tests/deploy does for it.

Then the repair in tests/deploy/moto_cloudformation.py, or the kind in moto_resources.py, can be deleted.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.cloudformation.parsing import get_model_map

from tests.deploy import moto_cloudformation as repairs

REGION = "eu-west-2"
CODE = {"S3Bucket": "code", "S3Key": "code.zip"}
POLICY = {"Version": "2012-10-17", "Statement": []}
Repair = Callable[[], AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def _mocked() -> Iterator[None]:
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}):
        yield


def client(service: str) -> Any:
    make_client: Any = boto3.client
    return make_client(service, region_name=REGION)


def create_stack(resources: dict[str, Any], **more: Any) -> Any:
    """Creates a stack named `s`, and returns the client."""
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": resources, **more}))
    return cloudformation


def bucket(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name, **properties}}


def raw_or_repaired(repair: Repair, raw: object, repaired: object) -> pytest.MarkDecorator:
    """Runs a test without a repair and with it, each with its expected result."""
    return pytest.mark.parametrize(
        ("repair", "found"), [(nullcontext, raw), (repair, repaired)], ids=["moto", "repaired"]
    )


@pytest.mark.parametrize(
    "kind",
    [
        "AWS::CloudWatch::Alarm",
        "AWS::Glue::Database",
        "AWS::Glue::Table",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::S3::BucketPolicy",
        "AWS::SecretsManager::Secret",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
    ],
)
def test_moto_still_lacks_the_kind(kind: str) -> None:
    assert kind not in get_model_map()


@raw_or_repaired(repairs.kinds_are_known, raw=None, repaired="Enabled")
def test_bucket_keeps_its_versioning(repair: Repair, found: object) -> None:
    with repair():
        create_stack({"B": bucket("landing", VersioningConfiguration={"Status": "Enabled"})})
    assert client("s3").get_bucket_versioning(Bucket="landing").get("Status") == found


@raw_or_repaired(repairs.kinds_are_known, raw=("PassThrough", "x86_64", None), repaired=("Active", "arm64", ["arm64"]))
def test_function_and_layer_keep_tracing_and_architecture(repair: Repair, found: object) -> None:
    role = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(POLICY))["Role"]["Arn"]
    client("s3").create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
    client("s3").put_object(Bucket="code", Key="code.zip", Body=b"-")
    function = {"FunctionName": "f", "Runtime": "python3.13", "Role": role, "Handler": "a.b", "Code": CODE}
    function |= {"TracingConfig": {"Mode": "Active"}, "Architectures": ["arm64"]}
    layer = {"LayerName": "l", "Content": CODE, "CompatibleArchitectures": ["arm64"]}
    with repair():
        create_stack(
            {
                "F": {"Type": "AWS::Lambda::Function", "Properties": function},
                "L": {"Type": "AWS::Lambda::LayerVersion", "Properties": layer},
            }
        )
    configuration = client("lambda").get_function_configuration(FunctionName="f")
    [name] = [item["LayerName"] for item in client("lambda").list_layers()["Layers"]]
    version = client("lambda").get_layer_version(LayerName=name, VersionNumber=1)
    kept = configuration["TracingConfig"]["Mode"], configuration["Architectures"][0]
    assert (*kept, version.get("CompatibleArchitectures")) == found


@raw_or_repaired(repairs.kinds_are_known, raw=[], repaired=["m"])
def test_machine_is_where_it_can_be_executed(repair: Repair, found: object) -> None:
    definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    machine = {"StateMachineName": "m", "DefinitionString": definition, "RoleArn": "arn:aws:iam::123456789012:role/r"}
    machine["TracingConfiguration"] = {"Enabled": True}  # type: ignore[assignment]
    with repair():
        create_stack({"M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine}})
    assert [found["name"] for found in client("stepfunctions").list_state_machines()["stateMachines"]] == found


@raw_or_repaired(repairs.warnings_are_no_errors, raw=False, repaired=True)
def test_template_with_a_warning_is_valid(repair: Repair, found: object) -> None:
    warned = json.dumps({"Resources": {"B": bucket("landing")}, "Parameters": {"Unused": {"Type": "String"}}})
    wrong = json.dumps({"Resources": {"B": {"Type": "AWS::S3::Bucket", "Properties": {"Nonsense": 1}}}})
    with repair():
        assert is_valid(warned) is found
        assert not is_valid(wrong)


def is_valid(template: str) -> bool:
    try:
        client("cloudformation").validate_template(TemplateBody=template)
    except ClientError:
        return False
    return True


@raw_or_repaired(repairs.outputs_follow_the_change_set, raw="old", repaired="new")
def test_outputs_are_those_of_the_change_set(repair: Repair, found: object) -> None:
    cloudformation = create_stack({"B": bucket("landing")}, Outputs={"O": {"Value": "old"}})
    changed = {"Resources": {"B": bucket("landing"), "C": bucket("processed")}, "Outputs": {"O": {"Value": "new"}}}
    with repair():
        change = {"StackName": "s", "ChangeSetName": "c"}
        cloudformation.create_change_set(**change, ChangeSetType="UPDATE", TemplateBody=json.dumps(changed))
        cloudformation.execute_change_set(**change)
        [output] = cloudformation.describe_stacks(StackName="s")["Stacks"][0]["Outputs"]
    assert output["OutputValue"] == found


def test_stack_can_only_be_protected_after_repair() -> None:
    cloudformation = create_stack({"B": bucket("landing")})
    protection = {"StackName": "s", "EnableTerminationProtection": True}
    with pytest.raises((ClientError, NotImplementedError)):
        cloudformation.update_termination_protection(**protection)
    with repairs.stacks_can_be_protected():
        cloudformation.update_termination_protection(**protection)
    assert cloudformation.describe_stacks(StackName="s")["Stacks"][0]["EnableTerminationProtection"] is True


def test_stack_that_failed_to_go_is_only_kept_after_repair() -> None:
    with repairs.kinds_are_known():
        cloudformation = create_stack({"B": bucket("landing")})
        client("s3").put_object(Bucket="landing", Key="k", Body=b"")
        with repairs.failed_removal_can_be_repeated():
            cloudformation.delete_stack(StackName="s")
            assert cloudformation.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"] == "DELETE_FAILED"
        with pytest.raises(ClientError, match="BucketNotEmpty"):
            cloudformation.delete_stack(StackName="s")
        with pytest.raises(ClientError, match="does not exist"):
            cloudformation.describe_stacks(StackName="s")


@raw_or_repaired(repairs.retain_except_on_create_retains, raw=[], repaired=["landing"])
def test_bucket_that_is_to_be_retained_outlives_its_stack(repair: Repair, found: object) -> None:
    with repair():
        kept = bucket("landing") | {"DeletionPolicy": "RetainExceptOnCreate"}
        create_stack({"B": kept, "C": bucket("other")}).delete_stack(StackName="s")
    assert [left["Name"] for left in client("s3").list_buckets()["Buckets"]] == found


@raw_or_repaired(repairs.conditional_statements_are_not_enforced, raw=403, repaired=200)
def test_condition_of_a_bucket_policy_is_not_looked_at(repair: Repair, found: object) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="landing", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="landing", Key="k", Body=b"")
    tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::landing", "arn:aws:s3:::landing/*"],
    }
    tls["Condition"] = {"Bool": {"aws:SecureTransport": "false"}}  # type: ignore[assignment]
    s3.put_bucket_policy(Bucket="landing", Policy=json.dumps(POLICY | {"Statement": [tls]}))
    with repair():
        try:
            status = s3.get_object(Bucket="landing", Key="k")["ResponseMetadata"]["HTTPStatusCode"]
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert status == found
