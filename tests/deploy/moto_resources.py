"""The kinds of resources that moto's CloudFormation lacks or creates with half of their properties.

Each is created through the service's own API, which moto knows well, as CloudFormation does it. The canaries in
test_moto_gaps.py fail when moto does without one of them.
"""

import json
from typing import Any, Self

import boto3


class ApiResource:
    """One resource of a stack, as moto's CloudFormation wants to see it.

    Attributes:
        service: whose API creates it.
        physical_resource_id: what `Ref` yields.
        attributes: what `Fn::GetAtt` yields, by name.
    """

    service = ""

    def __init__(self, name: str, region: str) -> None:
        make_client: Any = boto3.client  # typed for literal names only
        self.api = make_client(self.service, region_name=region)
        self.region = region
        self.physical_resource_id = name
        self.attributes: dict[str, str] = {}

    def put(self, properties: dict[str, Any]) -> None:
        """Create the resource, or bring the one that is there to these properties."""
        raise NotImplementedError

    def remove(self) -> None:
        """Delete it; nothing to do for what goes with the resource that it belongs to."""

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], _account: str, region: str, **_: Any
    ) -> Self:
        resource = cls(resource_name, region)
        resource.put(cloudformation_json["Properties"])
        return resource

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Self, cloudformation_json: dict[str, Any], **_: Any
    ) -> Self:
        original_resource.put(cloudformation_json["Properties"])
        return original_resource

    def delete(self, _account: str, _region: str) -> None:
        self.remove()

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    @classmethod
    def has_cfn_attr(cls, _name: str) -> bool:
        return True

    def is_created(self) -> bool:
        return True


class Bucket(ApiResource):
    """moto keeps the encryption and the tags, and drops all else."""

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
    """The template says TransitionInDays and Prefix where the API says Days and Filter."""
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


class LayerVersion(ApiResource):
    """moto drops the architecture, and keeps the old version where a stack is to have the new one alone."""

    service = "lambda"

    def put(self, properties: dict[str, Any]) -> None:
        outdated = self.physical_resource_id
        self.physical_resource_id = self.api.publish_layer_version(**properties)["LayerVersionArn"]
        if outdated.startswith("arn:"):
            self._delete_version(outdated)

    def remove(self) -> None:
        self._delete_version(self.physical_resource_id)

    def _delete_version(self, arn: str) -> None:
        name, _, version = arn.rpartition(":")
        self.api.delete_layer_version(LayerName=name.rpartition(":")[2], VersionNumber=int(version))


class Function(ApiResource):
    """moto drops layers, tracing, architecture and ephemeral storage; its UpdateFunctionConfiguration most of them."""

    service = "lambda"

    def put(self, properties: dict[str, Any]) -> None:
        if self.attributes:
            self.remove()
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        created = self.api.create_function(**properties | {"Tags": tags})
        self.physical_resource_id = created["FunctionName"]
        self.attributes["Arn"] = created["FunctionArn"]

    def remove(self) -> None:
        self.api.delete_function(FunctionName=self.physical_resource_id)


class StateMachine(ApiResource):
    """moto puts it where nothing can be executed."""

    service = "stepfunctions"

    def put(self, properties: dict[str, Any]) -> None:
        definition = {
            "definition": properties["DefinitionString"],
            "roleArn": properties["RoleArn"],
            "tracingConfiguration": {"enabled": properties["TracingConfiguration"]["Enabled"]},
        }
        if self.attributes:
            self.api.update_state_machine(stateMachineArn=self.physical_resource_id, **definition)
            return
        self.attributes["Name"] = properties["StateMachineName"]
        created = self.api.create_state_machine(name=properties["StateMachineName"], **definition)
        self.physical_resource_id = created["stateMachineArn"]

    def remove(self) -> None:
        self.api.delete_state_machine(stateMachineArn=self.physical_resource_id)


KINDS: dict[str, type[ApiResource]] = {
    "AWS::S3::Bucket": Bucket,
    "AWS::S3::BucketPolicy": BucketPolicy,
    "AWS::SNS::Subscription": Subscription,
    "AWS::SNS::TopicPolicy": TopicPolicy,
    "AWS::SQS::QueuePolicy": QueuePolicy,
    "AWS::CloudWatch::Alarm": Alarm,
    "AWS::SecretsManager::Secret": Secret,
    "AWS::Lambda::LayerVersion": LayerVersion,
    "AWS::Lambda::Function": Function,
    "AWS::StepFunctions::StateMachine": StateMachine,
}
