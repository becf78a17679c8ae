"""Simulates an AWS that answers each call as a healthy stage would, until a test changes an answer."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from cli.doctor import alerts, schedule
from local.aws import deployment
from local.aws.deployment import Deployment
from totes.runtime.names import FUNCTIONS, Names
from totes.verify.doctor.code import code_digest

NAMES = Names("prod", "123456789012", "eu-west-2")
NOW = datetime.now(UTC)
VERSION = "0a1b2c3d-0000-0000-0000-000000000000"
ADDRESS = "on-call@example.com"
Answer = dict[str, Any] | ClientError | Exception
_MACHINE = f"arn:aws:states:eu-west-2:{NAMES.account}:execution:{NAMES.state_machine}"
ACTIONS = {
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "Invoke": "InvokeFunction",
}
_read_once = cache(deployment._read)
_SERVICES = {"stepfunctions": "states"}


class _StoppedClock(datetime):
    """A clock that always shows NOW. A test may run long after this module was imported."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return NOW.astimezone(tz)


class AnsweringAws:
    """Answers each operation. The SDK's model checks a test's answers, as it checks our own.

    Attributes:
        calls: the actions that were called, by their names in policies, each with its parameters.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answers: dict[str, Callable[[dict[str, Any]], Answer]] = dict(_HEALTHY)
        patch.setattr(botocore.client.BaseClient, "_make_api_call", lambda *call: self._call(*call))
        # Reading serverless.yml takes longer than everything else here.
        patch.setattr(deployment, "_read", _read_once)
        for module in (alerts, schedule):
            patch.setattr(module, "datetime", _StoppedClock)

    def change(self, operation: str, answer: Callable[[dict[str, Any], dict[str, Any]], Answer]) -> None:
        """Changes the answer to an operation: `answer` gets a healthy stage's answer and the parameters."""
        healthy = self._answers[operation]

        def changed(given: dict[str, Any]) -> Answer:
            before = healthy(given)
            assert isinstance(before, dict)
            return answer(before, given)

        self._answers[operation] = changed

    def refuse(self, operation: str, code: str, message: str = "No.") -> None:
        """Makes an operation end with an error."""
        self._answers[operation] = lambda _: refusal(operation, code, message)

    def _call(self, client: Any, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        service = client.meta.service_model.service_name
        self.calls.append((f"{_SERVICES.get(service, service)}:{ACTIONS.get(operation, operation)}", given))
        answer = self._answers[operation](given)
        if isinstance(answer, Exception):
            raise answer
        model = client.meta.service_model.operation_model(operation).output_shape
        validate_parameters({name: value for name, value in answer.items() if name != "Payload"}, model)
        return answer


def refusal(operation: str, code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def execution(status: str = "SUCCEEDED", started: datetime = NOW - timedelta(minutes=2), **more: Any) -> dict[str, Any]:
    """Returns an execution in the form of Step Functions' lists."""
    found = {
        "executionArn": f"{_MACHINE}:one",
        "stateMachineArn": NAMES.state_machine_arn,
        "name": "one",
        "status": status,
        "startDate": started,
    }
    return found | ({} if status == "RUNNING" else {"stopDate": started + timedelta(seconds=30)}) | more


def payload(document: object) -> dict[str, Any]:
    """Returns Lambda's answer to an invocation."""
    return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(document).encode())}


def _declared(kind: str, name: str) -> list[str]:
    resources = Deployment(NAMES.stage).resources().values()
    return [found["Properties"][name] for found in resources if found["Type"] == kind and name in found["Properties"]]


def _alarm(name: str) -> dict[str, Any]:
    since = NOW - timedelta(days=1)
    told = {"AlarmDescription": "It means this.", "ActionsEnabled": True}
    return told | {"AlarmName": name, "StateValue": "OK", "StateTransitionedTimestamp": since}


def _function(given: dict[str, Any]) -> dict[str, Any]:
    layer = f"arn:aws:lambda:eu-west-2:{NAMES.account}:layer:totes-prod-dependencies:7"
    ready = {"State": "Active", "LastUpdateStatus": "Successful"}
    return {"FunctionName": given["FunctionName"], "Runtime": "python3.13", "Layers": [{"Arn": layer}], **ready}


def _groups(given: dict[str, Any]) -> dict[str, Any]:
    names = [*map(NAMES.log_group, FUNCTIONS), *_declared("AWS::Logs::LogGroup", "LogGroupName")]
    found = [name for name in names if name.startswith(given["logGroupNamePrefix"])]
    return {"logGroups": [{"logGroupName": name, "retentionInDays": 180} for name in found]}


def _rule(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "Name": given["Name"],
        "State": "ENABLED",
        "ScheduleExpression": "rate(5 minutes)",
        "Description": "Starts.",
    }


def _policy(given: dict[str, Any]) -> dict[str, Any]:
    return {"Policy": json.dumps({"Statement": [{"Sid": "TlsOnly"}, {"Sid": "NothingIsOverwritten"}]})}


def _listed(given: dict[str, Any]) -> dict[str, Any]:
    older = execution(started=NOW - timedelta(minutes=32), name="older")
    return {"executions": [execution(), older][: given["maxResults"]]}


_BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_AES = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
_RULES = [{"ID": name, "Status": "Enabled"} for name in ("cold-batches", "unfinished-uploads")]
_FINDING = {"code": "settings", "level": "ok", "found": "All is well.", "remedy": "", "area": ""}
_HEALTHY: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "GetCallerIdentity": lambda _: {"Account": NAMES.account},
    "DescribeStacks": lambda _: {
        "Stacks": [{"StackName": "totes-prod", "CreationTime": NOW, "StackStatus": "UPDATE_COMPLETE"}]
    },
    "DescribeStackResource": lambda _: {},
    "GetFunctionConfiguration": _function,
    "DescribeLogGroups": _groups,
    "DescribeRule": _rule,
    "ListTargetsByRule": lambda _: {"Targets": [{"Id": "one", "Arn": NAMES.state_machine_arn}]},
    "ListExecutions": _listed,
    "DescribeExecution": lambda _: execution(output="{}"),
    "GetExecutionHistory": lambda _: {"events": []},
    "ListSubscriptionsByTopic": lambda _: {
        "Subscriptions": [
            {"SubscriptionArn": f"{NAMES.topic_arn}:0a1b", "Protocol": "email", "Endpoint": ADDRESS},
        ]
    },
    "DescribeAlarms": lambda _: {
        "MetricAlarms": [_alarm(name) for name in _declared("AWS::CloudWatch::Alarm", "AlarmName")]
    },
    "GetQueueUrl": lambda given: {"QueueUrl": f"https://sqs.eu-west-2.amazonaws.com/1/{given['QueueName']}"},
    "GetQueueAttributes": lambda given: {"Attributes": dict.fromkeys(given["AttributeNames"], "0")},
    "ListMetrics": lambda _: {"Metrics": [{"MetricName": "Freshness"}]},
    "DescribeSecret": lambda given: {"Name": given["SecretId"], "VersionIdsToStages": {VERSION: ["AWSCURRENT"]}},
    "GetBucketEncryption": lambda _: {"ServerSideEncryptionConfiguration": {"Rules": [_AES]}},
    "GetPublicAccessBlock": lambda _: {"PublicAccessBlockConfiguration": dict.fromkeys(_BLOCK, True)},
    "GetBucketVersioning": lambda _: {"Status": "Enabled"},
    "GetBucketLifecycleConfiguration": lambda _: {"Rules": _RULES},
    "GetBucketPolicy": _policy,
    "Invoke": lambda _: payload({"code": code_digest(), "findings": [_FINDING]}),
}
