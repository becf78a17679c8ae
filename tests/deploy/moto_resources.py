"""Creates the lake, the secrets and the alerts. moto's CloudFormation has only half of the bucket."""

import contextlib
import json
from typing import Any

from tests.deploy.api_resource import ApiResource


class Bucket(ApiResource):
    """Keeps all the bucket's properties. moto keeps only the encryption and the tags."""

    service = "s3"

    def put(self, properties: dict[str, Any]) -> None:
        name = {"Bucket": self.physical_resource_id}
        if not self.attributes:
            place = {"LocationConstraint": self.region}
            self.api.create_bucket(
                **name,
                CreateBucketConfiguration=place,
                ObjectLockEnabledForBucket=properties.get("ObjectLockEnabled", False),
            )
            self.attributes["Arn"] = f"arn:aws:s3:::{self.physical_resource_id}"
        if versioning := properties.get("VersioningConfiguration"):
            self.api.put_bucket_versioning(**name, VersioningConfiguration=versioning)
        if block := properties.get("PublicAccessBlockConfiguration"):
            self.api.put_public_access_block(**name, PublicAccessBlockConfiguration=block)
        if controls := properties.get("OwnershipControls"):
            rules = [{"ObjectOwnership": rule["ObjectOwnership"]} for rule in controls["Rules"]]
            self.api.put_bucket_ownership_controls(**name, OwnershipControls={"Rules": rules})
        if encryption := properties.get("BucketEncryption"):
            rules = [
                {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
                for rule in encryption["ServerSideEncryptionConfiguration"]
            ]
            self.api.put_bucket_encryption(**name, ServerSideEncryptionConfiguration={"Rules": rules})
        if lifecycle := properties.get("LifecycleConfiguration"):
            rules = [_lifecycle_rule(rule) for rule in lifecycle["Rules"]]
            self.api.put_bucket_lifecycle_configuration(**name, LifecycleConfiguration={"Rules": rules})

    def remove(self) -> None:
        self.api.delete_bucket(Bucket=self.physical_resource_id)


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Returns a lifecycle rule for the API, which has Days and Filter instead of TransitionInDays and Prefix."""
    api = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "Transitions" in rule:
        api["Transitions"] = [
            {"StorageClass": step["StorageClass"], "Days": step["TransitionInDays"]} for step in rule["Transitions"]
        ]
    kept = ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration")
    expiry = {"Expiration": {"Days": rule["ExpirationInDays"]}} if "ExpirationInDays" in rule else {}
    return api | expiry | {name: rule[name] for name in kept if name in rule}


class BucketPolicy(ApiResource):
    service = "s3"

    def put(self, properties: dict[str, Any]) -> None:
        self.api.put_bucket_policy(Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"]))


class Subscription(ApiResource):
    service = "sns"

    def put(self, properties: dict[str, Any]) -> None:
        self.physical_resource_id = self.api.subscribe(**properties, ReturnSubscriptionArn=True)["SubscriptionArn"]

    def remove(self) -> None:
        self.api.unsubscribe(SubscriptionArn=self.physical_resource_id)


class TopicPolicy(ApiResource):
    service = "sns"

    def put(self, properties: dict[str, Any]) -> None:
        document = json.dumps(properties["PolicyDocument"])
        for topic in properties["Topics"]:
            self.api.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=document)


class QueuePolicy(ApiResource):
    service = "sqs"

    def put(self, properties: dict[str, Any]) -> None:
        for queue in properties["Queues"]:
            self.api.set_queue_attributes(
                QueueUrl=queue, Attributes={"Policy": json.dumps(properties["PolicyDocument"])}
            )


class Alarm(ApiResource):
    service = "cloudwatch"

    def put(self, properties: dict[str, Any]) -> None:
        self.api.put_metric_alarm(**properties)
        self.physical_resource_id = properties["AlarmName"]
        [alarm] = self.api.describe_alarms(AlarmNames=[self.physical_resource_id])["MetricAlarms"]
        self.attributes["Arn"] = alarm["AlarmArn"]

    def remove(self) -> None:
        self.api.delete_alarms(AlarmNames=[self.physical_resource_id])


class Secret(ApiResource):
    service = "secretsmanager"

    def put(self, properties: dict[str, Any]) -> None:
        if self.physical_resource_id.startswith("arn:"):
            self.api.update_secret(SecretId=self.physical_resource_id, Description=properties["Description"])
        else:
            created = self.api.create_secret(Name=properties["Name"], Description=properties["Description"])
            self.physical_resource_id = created["ARN"]

    def remove(self) -> None:
        self.api.delete_secret(SecretId=self.physical_resource_id, ForceDeleteWithoutRecovery=True)


class GlueDatabase(ApiResource):
    service = "glue"

    def put(self, properties: dict[str, Any]) -> None:
        told = properties["DatabaseInput"]
        if self.physical_resource_id == told["Name"]:
            self.api.update_database(Name=told["Name"], DatabaseInput=told)
        else:
            self.api.create_database(DatabaseInput=told)
            self.physical_resource_id = told["Name"]

    def remove(self) -> None:
        self.api.delete_database(Name=self.physical_resource_id)


class GlueTable(ApiResource):
    service = "glue"

    def put(self, properties: dict[str, Any]) -> None:
        place, told = {"DatabaseName": properties["DatabaseName"]}, properties["TableInput"]
        if self.physical_resource_id == told["Name"]:
            self.api.update_table(**place, TableInput=told)
        else:
            self.api.create_table(**place, TableInput=told)
            self.physical_resource_id, self.attributes = told["Name"], place

    def remove(self) -> None:
        # moto deletes in any order, and deletes the tables with their database.
        with contextlib.suppress(self.api.exceptions.EntityNotFoundException):
            self.api.delete_table(**self.attributes, Name=self.physical_resource_id)
