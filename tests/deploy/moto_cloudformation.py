"""Repairs moto 5.2.5's CloudFormation where `sls deploy` needs it, for as long as a test runs.

The template stays as it is. Each repair has a canary in tests/machine/test_cloudformation_gaps.py, which fails when
moto no longer needs the repair.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError
from moto.cloudformation import parsing
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.parsing import OutputMap, ResourceMap
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket

from local.aws.moto_repairs import replaced
from tests.deploy import moto_compute, moto_resources
from tests.deploy.api_resource import ApiResource

KINDS: dict[str, type[ApiResource]] = {
    "AWS::CloudWatch::Alarm": moto_resources.Alarm,
    "AWS::Glue::Database": moto_resources.GlueDatabase,
    "AWS::Glue::Table": moto_resources.GlueTable,
    "AWS::Lambda::EventInvokeConfig": moto_compute.EventInvokeConfig,
    "AWS::Lambda::Function": moto_compute.Function,
    "AWS::Lambda::LayerVersion": moto_compute.LayerVersion,
    "AWS::S3::Bucket": moto_resources.Bucket,
    "AWS::S3::BucketPolicy": moto_resources.BucketPolicy,
    "AWS::SecretsManager::Secret": moto_resources.Secret,
    "AWS::SNS::Subscription": moto_resources.Subscription,
    "AWS::SNS::TopicPolicy": moto_resources.TopicPolicy,
    "AWS::SQS::QueuePolicy": moto_resources.QueuePolicy,
    "AWS::StepFunctions::StateMachine": moto_compute.StateMachine,
}


@contextlib.contextmanager
def cloudformation_repaired() -> Iterator[None]:
    """Makes all the repairs."""
    with contextlib.ExitStack() as repairs:
        for repair in (
            kinds_are_known,
            warnings_are_no_errors,
            outputs_follow_the_change_set,
            stacks_can_be_protected,
            failed_removal_can_be_repeated,
            retain_except_on_create_retains,
            conditional_statements_are_not_enforced,
        ):
            repairs.enter_context(repair())
        yield


@contextlib.contextmanager
def kinds_are_known() -> Iterator[None]:
    """Teaches moto the declared kinds. It skips unknown resources with a warning, and drops properties without one."""
    known = parsing.resource_class_from_type
    with replaced(parsing, "resource_class_from_type", lambda kind: KINDS.get(kind) or known(kind)):
        yield


@contextlib.contextmanager
def warnings_are_no_errors() -> Iterator[None]:
    """Makes ValidateTemplate fail for errors only, as in AWS. moto's fails for each finding of cfn-lint."""
    validate = CloudFormationBackend.validate_template

    def errors(self: CloudFormationBackend, template: str) -> list[Any]:
        return [found for found in validate(self, template) if found.rule.severity == "error"]

    with replaced(CloudFormationBackend, "validate_template", errors):
        yield


@contextlib.contextmanager
def outputs_follow_the_change_set() -> Iterator[None]:
    """Updates outputs and exports after a change set.

    moto keeps the stack's old outputs, and its deletion misses the exports.
    """
    execute = CloudFormationBackend.execute_change_set

    def executed(self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        execute(self, change_set_name, stack_name)
        stack = self.get_stack(self.describe_change_set(change_set_name).stack_id)  # type: ignore[union-attr]
        stack._parse_template()
        stack.output_map = stack._create_output_map()
        self.exports.update({export.name: export for export in stack.exports})

    with replaced(CloudFormationBackend, "execute_change_set", executed):
        yield


@contextlib.contextmanager
def stacks_can_be_protected() -> Iterator[None]:
    """Adds UpdateTerminationProtection, which moto lacks."""

    def update(self: CloudFormationResponse) -> ActionResult:
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        stack.enable_termination_protection = self._get_bool_param("EnableTerminationProtection")
        return ActionResult({"StackId": stack.stack_id})

    CloudFormationResponse.update_termination_protection = update  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del CloudFormationResponse.update_termination_protection  # type: ignore[attr-defined]


@contextlib.contextmanager
def failed_removal_can_be_repeated() -> Iterator[None]:
    """Keeps a stack that can't be deleted whole, with its remaining resources, as DELETE_FAILED. moto forgets it."""
    delete = CloudFormationBackend.delete_stack

    def deleted(self: CloudFormationBackend, name_or_stack_id: str) -> None:
        stack = self.stacks.get(name_or_stack_id)
        try:
            delete(self, name_or_stack_id)
        except ClientError as error:
            assert stack is not None, "moto resolves a name by calling this again with the id"
            self.stacks[stack.stack_id] = stack
            left = stack.resource_map._parsed_resources.keys()
            stack.resource_map._resource_json_map = {
                name: declared for name, declared in stack.resource_map._resource_json_map.items() if name in left
            }
            stack.output_map = OutputMap(stack.resource_map, {}, stack.stack_id)
            stack.status = "DELETE_FAILED"
            stack._add_stack_event("DELETE_FAILED", resource_status_reason=str(error))

    with replaced(CloudFormationBackend, "delete_stack", deleted):
        yield


@contextlib.contextmanager
def retain_except_on_create_retains() -> Iterator[None]:
    """Keeps resources with the policy RetainExceptOnCreate when a stack is removed, as in AWS. moto deletes them."""
    delete = ResourceMap.delete

    def deleted(self: ResourceMap) -> None:
        declared = self._resource_json_map
        self._resource_json_map = {
            name: {**resource, "DeletionPolicy": "Retain"}
            if resource.get("DeletionPolicy") == "RetainExceptOnCreate"
            else resource
            for name, resource in declared.items()
        }
        try:
            delete(self)
        finally:
            self._resource_json_map = declared

    with replaced(ResourceMap, "delete", deleted):
        yield


@contextlib.contextmanager
def conditional_statements_are_not_enforced() -> Iterator[None]:
    """Ignores a bucket policy's conditional statements.

    moto ignores only the conditions, so "deny all but TLS" would deny all.
    """

    def permission(self: FakeBucket, action: str, resource: str) -> PermissionResult:
        if self.policy is None:
            return PermissionResult.NEUTRAL
        policy = json.loads(self.policy)
        policy["Statement"] = [statement for statement in policy["Statement"] if "Condition" not in statement]
        return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)

    with replaced(FakeBucket, "get_permission", permission):
        yield
