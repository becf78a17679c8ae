"""Who is refused, whatever else he may do: policies of the buckets, the topic, the queue and the key."""

from typing import Any

import pytest

from local.deployment import ROOT, Deployment
from tests.unit.infrastructure.template import DEV, Template
from totes.batch_log import HINT

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
    """Retain alone also keeps what a failed creation made, and its fixed name refuses the next attempt."""
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


def test_alarms_may_publish_to_the_encrypted_topic() -> None:
    (topic,) = TEMPLATE.of_type("AWS::SNS::Topic").values()
    publishers = TEMPLATE.resources["AlertsTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]
    key = TEMPLATE.resources[topic["KmsMasterKeyId"]["Ref"]]["Properties"]["KeyPolicy"]["Statement"]
    (encrypting,) = [statement for statement in key if "Service" in statement["Principal"]]
    assert encrypting["Principal"] == publishers["Principal"]
    assert {"kms:GenerateDataKey", "kms:Decrypt"} <= set(encrypting["Action"])


def test_every_alarm_tells_but_that_of_failures() -> None:
    for alarm in TEMPLATE.of_type("AWS::CloudWatch::Alarm").values():
        # The state machine sends a mail of its own; two for one failure would be one too many.
        told = [] if alarm["MetricName"] == "ExecutionsFailed" else [DEV.topic_arn]
        assert [TEMPLATE.text(topic) for topic in alarm.get("AlarmActions", ())] == told


def test_alarm_of_warnings_watches_the_metric_that_ingest_writes() -> None:
    (alarm,) = [a for a in TEMPLATE.of_type("AWS::CloudWatch::Alarm").values() if a["MetricName"] == "Warnings"]
    ingest = TEMPLATE.functions["ingest"]["environment"]
    assert alarm["Namespace"] == ingest["POWERTOOLS_METRICS_NAMESPACE"] == "totes-dev"
    assert alarm["Dimensions"] == [{"Name": "service", "Value": ingest["POWERTOOLS_SERVICE_NAME"]}]
    assert f'"{alarm["MetricName"]}"' in (ROOT / "functions" / "ingest.py").read_text(encoding="utf-8")
