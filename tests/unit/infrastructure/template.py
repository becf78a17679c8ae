"""serverless.yml as CloudFormation sees it in a stage: references become names and ARNs, policies become statements."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from local.aws.deployment import Deployment
from totes.runtime.names import Names

DEV = Names("dev", "123456789012", "eu-west-2")
_ARN = {
    "AWS::S3::Bucket": "arn:aws:s3:::{BucketName}",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{TopicName}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{QueueName}",
    "AWS::KMS::Key": "arn:aws:kms:{region}:{account}:key/{id}",
    "AWS::CloudWatch::Alarm": "arn:aws:cloudwatch:{region}:{account}:alarm:{AlarmName}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{id}",
    "AWS::Events::Rule": "arn:aws:events:{region}:{account}:rule/{Name}",
    # Secrets Manager appends six characters.
    "AWS::SecretsManager::Secret": "arn:aws:secretsmanager:{region}:{account}:secret:{Name}-XXXXXX",
}
_REF = {"AWS::S3::Bucket": "BucketName", "AWS::Events::Rule": "Name"}
_REF_IS_ARN = {"AWS::SNS::Topic", "AWS::SecretsManager::Secret"}
# Secrets of RDS with the logins of both databases, and their keys: by the variables of a deployment.
LOGINS = {
    f"TOTES_{which}_{variable}": f"arn:aws:{service}:eu-west-2:123456789012:{kind}db-{which.lower()}-AbCdEf"
    for which in ("SOURCE", "WAREHOUSE")
    for variable, service, kind in (("LOGIN", "secretsmanager", "secret:rds!"), ("LOGIN_KEY", "kms", "key/"))
}
_VARIABLE = re.compile(r"\$\{env:(TOTES_\w+_LOGIN\w*), '.*'\}")
_PREFIX = "s3:prefix"
_SUBSTITUTE = re.compile(r"\$\{([\w.:]+)\}")


@dataclass(frozen=True)
class Call:
    """A call of AWS, as IAM sees it. `prefix` is the prefix of a listing; None if the request has none."""

    action: str
    resource: str
    prefix: str | None = None


@dataclass(frozen=True)
class Statement:
    """A statement of a role's policy.

    Attributes:
        prefixes: patterns for the prefix of a listing; empty if the statement has none.
        if_exists: whether it also allows a request without a prefix.
    """

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    if_exists: bool = False

    def allows(self, call: Call) -> bool:
        return (
            call.action in self.actions
            and any(matches(pattern, call.resource) for pattern in self.resources)
            and self._allows_prefix(call.prefix)
        )

    def _allows_prefix(self, prefix: str | None) -> bool:
        if prefix is None:
            return not self.prefixes or self.if_exists
        return not self.prefixes or any(matches(pattern, prefix) for pattern in self.prefixes)

    def parts(self) -> Iterator["Statement"]:
        """Returns the statement's pairs of one action and one resource."""
        for action in self.actions:
            for resource in self.resources:
                yield replace(self, actions=(action,), resources=(resource,))


class Template:
    """serverless.yml of a stage with all optional resources."""

    def __init__(self, names: Names = DEV) -> None:
        deployment = Deployment(names.stage)
        self.names = names
        self.resources = deployment.resources()
        self.functions = deployment.functions()

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Returns the properties of all resources of a type, by logical id."""
        return {name: found["Properties"] for name, found in self.resources.items() if found["Type"] == kind}

    def text(self, value: Any) -> str:
        """Returns a value with its references resolved."""
        match value:
            case str():
                return _VARIABLE.sub(lambda match: LOGINS[match[1]], value)
            case {"Ref": str(name)}:
                return self._reference(name)
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return self._reference(f"{name}.{attribute}")
            case {"Fn::If": [str(), then, _]}:
                return self.text(then)
            case {"Fn::Sub": str(text)}:
                return _SUBSTITUTE.sub(lambda match: self._reference(match[1]), text)
        raise ValueError(f"{value} is none of the references that are known here")

    def statements(self, role: str) -> list[Statement]:
        """Returns the statements of a role's inline policies."""
        documents = [policy["PolicyDocument"] for policy in self.resources[role]["Properties"]["Policies"]]
        return [self._statement(statement) for document in documents for statement in document["Statement"]]

    def _statement(self, document: dict[str, Any]) -> Statement:
        _, document, _ = document.get("Fn::If", ("", document, None))
        assert document["Effect"] == "Allow"
        # The tests must fail on a condition that they don't know: without it, more would seem allowed.
        conditions = dict(document.get("Condition", {}))
        if "kms:Decrypt" in document["Action"] and "Login" in document["Sid"]:
            # Only through Secrets Manager.
            assert str(conditions.pop("StringEquals")).count("secretsmanager.${AWS::Region}.amazonaws.com") == 1
        assert set(conditions) <= {"StringLike", "StringLikeIfExists"}
        assert all(set(condition) == {_PREFIX} for condition in conditions.values())
        prefixes = [pattern for condition in conditions.values() for pattern in _listed(condition[_PREFIX])]
        return Statement(
            document["Sid"],
            tuple(document["Action"]),
            tuple(self.text(resource) for resource in document["Resource"]),
            tuple(prefixes),
            if_exists="StringLikeIfExists" in conditions,
        )

    def _reference(self, name: str) -> str:
        pseudo = {"AWS::Partition": "aws", "AWS::Region": self.names.region, "AWS::AccountId": self.names.account}
        if name in pseudo:
            return pseudo[name]
        logical_id, _, attribute = name.partition(".")
        if logical_id == "PipelineStateMachine":
            return self.names.state_machine_arn
        if logical_id == "BackfillStateMachine":
            return self.names.backfill_arn
        if logical_id.endswith("LambdaFunction"):
            function = self.functions[logical_id.removesuffix("LambdaFunction").lower()]
            return f"arn:aws:lambda:{self.names.region}:{self.names.account}:function:{function['name']}"
        return self._of_resource(logical_id, attribute)

    def _of_resource(self, logical_id: str, attribute: str) -> str:
        resource = self.resources[logical_id]
        kind, properties = resource["Type"], resource.get("Properties", {})
        if attribute == "Arn" or (not attribute and kind in _REF_IS_ARN):
            plain = {key: self.text(value) for key, value in properties.items() if key.endswith("Name")}
            return _ARN[kind].format(id=logical_id, region=self.names.region, account=self.names.account, **plain)
        return self.text(properties[attribute or _REF[kind]])


def metrics_of(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the metrics that an alarm watches: its own, or those of its expression."""
    return [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", ()) if "MetricStat" in query] or [alarm]


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def matches(pattern: str, text: str) -> bool:
    # IAM's wildcards: fnmatch would interpret brackets, too.
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, text) is not None
