"""Policies of the buckets, the topic, the queue and the key refuse these callers, whatever other rights they have."""

from typing import Any

import pytest

from local.aws.deployment import Deployment
from tests.unit.infrastructure.template import Template
from totes.lake.batch_log import HINT

TEMPLATE = Template()
BUCKETS = ("LandingBucket", "ProcessedBucket")
POLICIES = {
    "AWS::S3::BucketPolicy": ("Bucket", "s3:*"),
    "AWS::SNS::TopicPolicy": ("Topics", "sns:Publish"),
    "AWS::SQS::QueuePolicy": ("Queues", "sqs:*"),
}
PROTECTED = {
    "AWS::S3::BucketPolicy": "AWS::S3::Bucket",
    "AWS::SNS::TopicPolicy": "AWS::SNS::Topic",
    "AWS::SQS::QueuePolicy": "AWS::SQS::Queue",
}


def denials(properties: dict[str, Any]) -> list[dict[str, Any]]:
    statements = properties["PolicyDocument"]["Statement"]
    return [statement for statement in statements if statement["Effect"] == "Deny"]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("kind", POLICIES)
def test_everything_that_takes_data_has_a_policy(kind: str) -> None:
    target, _ = POLICIES[kind]
    governed = [
        reference["Ref"] for properties in TEMPLATE.of_type(kind).values() for reference in listed(properties[target])
    ]
    assert sorted(governed) == sorted(TEMPLATE.of_type(PROTECTED[kind]))


@pytest.mark.parametrize("kind", POLICIES)
def test_nothing_is_reached_without_tls(kind: str) -> None:
    target, action = POLICIES[kind]
    for properties in TEMPLATE.of_type(kind).values():
        (denial,) = [found for found in denials(properties) if "Bool" in found["Condition"]]
        assert denial["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert (denial["Principal"], denial["Action"]) == ("*", action)
        resource = TEMPLATE.text({"Fn::GetAtt": [listed(properties[target])[0]["Ref"], "Arn"]})
        covered = {TEMPLATE.text(value) for value in listed(denial["Resource"])}
        assert covered == ({resource, f"{resource}/*"} if action == "s3:*" else {resource})


@pytest.mark.parametrize("bucket", BUCKETS)
def test_bucket_refuses_to_overwrite_all_but_the_hint(bucket: str) -> None:
    (denial,) = [
        found for found in denials(TEMPLATE.resources[f"{bucket}Policy"]["Properties"]) if "Null" in found["Condition"]
    ]
    assert denial["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    assert (denial["Principal"], denial["Action"]) == ("*", "s3:PutObject")
    assert TEMPLATE.text(denial["NotResource"]) == f"{TEMPLATE.text({'Fn::GetAtt': [bucket, 'Arn']})}/{HINT}"


@pytest.mark.parametrize("bucket", BUCKETS)
def test_bucket_is_private_versioned_and_encrypted(bucket: str) -> None:
    properties = TEMPLATE.resources[bucket]["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert properties["BucketEncryption"]


def test_prod_keeps_what_it_holds_but_not_what_a_failed_creation_made() -> None:
    """Retain alone would also keep the resources of a failed creation, and their fixed names would block the next
    attempt.
    """
    resources = Deployment("prod").resources()
    kept = {name for name, found in resources.items() if "DeletionPolicy" in found}
    assert kept == {*BUCKETS, "SourceSecret", "WarehouseSecret", "AlertsKey"}
    for name in kept:
        policies = resources[name]["DeletionPolicy"], resources[name]["UpdateReplacePolicy"]
        assert policies == ("RetainExceptOnCreate", "Retain"), name


@pytest.mark.parametrize("bucket", BUCKETS)
def test_lifecycle_deletes_nothing_and_leaves_the_log(bucket: str) -> None:
    for rule in TEMPLATE.resources[bucket]["Properties"]["LifecycleConfiguration"]["Rules"]:
        assert not any(key.startswith(("Expiration", "Noncurrent")) for key in rule)
        assert "Transitions" not in rule or rule["Prefix"] not in ("", "l", "lo", "log", "log/")


def publishers(statements: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns the statements that let a service publish, with their conditions, by the service."""
    allowed = [found for found in statements if found["Effect"] == "Allow" and "Service" in found["Principal"]]
    return {service: found for found in allowed for service in listed(found["Principal"]["Service"])}


def test_topic_and_key_let_the_same_services_publish() -> None:
    (topic,) = TEMPLATE.of_type("AWS::SNS::Topic").values()
    (policy,) = TEMPLATE.of_type("AWS::SNS::TopicPolicy").values()
    publishing = publishers(policy["PolicyDocument"]["Statement"])
    encrypting = publishers(TEMPLATE.resources[topic["KmsMasterKeyId"]["Ref"]]["Properties"]["KeyPolicy"]["Statement"])
    assert publishing.keys() == encrypting.keys()
    # Publishers: alarms, rules that have the topic as their target, and the budget.
    assert publishing.keys() == {f"{service}.amazonaws.com" for service in ("cloudwatch", "events", "budgets")}
    assert all({"kms:GenerateDataKey", "kms:Decrypt"} <= set(found["Action"]) for found in encrypting.values())


def test_conditions_are_those_that_the_service_supports() -> None:
    """EventBridge sends none of the keys when it publishes to an encrypted topic: the mail would be lost.

    The SNS guide ("Key management", event sources): aws:SourceAccount and aws:SourceArn are "not supported for
    EventBridge-to-encrypted topics". The EventBridge guide: no Condition in topic policies.
    """
    (policy,) = TEMPLATE.of_type("AWS::SNS::TopicPolicy").values()
    for statements in (policy["PolicyDocument"], TEMPLATE.resources["AlertsKey"]["Properties"]["KeyPolicy"]):
        for service, found in publishers(statements["Statement"]).items():
            supported = service != "events.amazonaws.com"
            assert ("aws:SourceAccount" in str(found.get("Condition"))) is supported, service
            assert ("Condition" in found) is supported, service
