"""Compares the rights that deploying a stage needs with those that the deploy role has.

CloudFormation calls AWS with the rights of the role that deploys. Its calls are in the schemas of its resource types,
which cfn-lint ships: the permissions of the handlers that create, read, update and delete a resource, and of its tags.
The list handlers serve imports by scan, which no deployment does. The calls of the command `sls` and of the workflow
are listed here, and compared with the source of osls.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import yaml

from local.aws.deployment import ROOT
from tests.unit.infrastructure.template import LOGINS, matches
from totes.runtime.names import FUNCTIONS

ACCOUNT, REGION = "123456789012", "eu-west-2"
BOOTSTRAP = yaml.safe_load((ROOT / "bootstrap" / "github-oidc.yml").read_text(encoding="utf-8"))["Resources"]
HANDLERS = ("create", "read", "update", "delete")

# Actions that a handler lists and we don't grant, by the feature that needs them. Our templates have none of these
# features; a template that begins to use one must remove it here.
FEATURES: dict[str, dict[str, str]] = {
    "AWS::Glue::Database": {
        r"glue:(Pass|Create|Delete|Get|Update)Connection": "federated databases",
    },
    "AWS::Glue::Table": {
        r"lakeformation:GetDataAccess": "data of locations that Lake Formation governs: a way to the lake's rows",
        r"glue:GetSchemaVersion": "the schema registry",
        r"s3:(Put|Get)Object|iam:PassRole|glue:PassConnection": "Iceberg metadata, which CloudFormation would write",
    },
    "AWS::IAM::Role": {
        r"iam:DeleteRolePermissionsBoundary": "a role without the boundary is what must not be",
    },
    "AWS::KMS::Key": {
        r"kms:(Disable|Enable)Key|kms:DisableKeyRotation": "the key is always enabled, and always rotated",
    },
    "AWS::Lambda::Function": {
        r"lambda:(Put|Delete)FunctionConcurrency": "reserved concurrency",
        r"elasticfilesystem:.*|s3files:.*": "file systems",
        r"kms:.*": "a key of our own for the environment",
        r"lambda:(GetCode|PutFunctionCode|DeleteFunctionCode)SigningConfig": "code signing",
        r"lambda:PutRuntimeManagementConfig": "a runtime that stays as it is",
        r"lambda:PutFunctionRecursionConfig": "recursion",
        r"lambda:PutFunctionScalingConfig|lambda:PassCapacityProvider": "instances of our own",
        r"lambda:PublishVersion": "versions (versionFunctions: false)",
    },
    "AWS::Logs::LogGroup": {
        r"logs:PutDataProtectionPolicy": "data protection",
        r"logs:CreateLogDelivery|firehose:.*": "delivery to elsewhere",
        r"logs:(Put|Delete)ResourcePolicy": "policies of the group",
        r"logs:(Put|Delete)IndexPolicy": "indexes of fields",
        r"logs:PutBearerTokenAuthentication": "tokens",
        r"logs:(Ass|Disass)ociateKmsKey": "a key of our own for the logs",
        r"logs:PutLogGroupDeletionProtection": "deletion protection of the group",
    },
    "AWS::S3::Bucket": {
        r"s3:PutBucketAbac": "access by tags",
        r"s3:Put(Analytics|Inventory|Metrics|IntelligentTiering)Configuration": "analyses",
        r"s3:(PutBucketCORS|(Put|Delete)BucketWebsite|PutAccelerateConfiguration)": "web sites",
        r"s3:PutBucketNotification": "notifications",
        r"s3:PutReplicationConfiguration|iam:PassRole": "replication",
        r"s3:Put(Bucket|Object)Acl": "ACLs, which BucketOwnerEnforced switches off",
        r"s3:DeleteObject": "objects that CloudFormation would delete",
        r"s3:PutBucketLogging": "access logs",
        r"s3:(Create|Update|Delete)BucketMetadata.*|s3tables:.*": "tables of metadata",
    },
    "AWS::SecretsManager::Secret": {
        r"secretsmanager:GetSecretValue": "the value, which the role may not read",
        r"secretsmanager:GetRandomPassword": "generated values",
        r"secretsmanager:(ReplicateSecretToRegions|RemoveRegionsFromReplication)": "replicas",
    },
    "AWS::SNS::Subscription": {
        r"iam:(GetRole|PassRole)": "delivery to Firehose",
        r"sns:SetSubscriptionAttributes": "attributes of subscriptions",
    },
    "AWS::SNS::Topic": {
        r"iam:(GetRole|PassRole)": "logs of deliveries",
        r"sns:PutDataProtectionPolicy": "data protection",
    },
    "AWS::StepFunctions::StateMachine": {
        r"s3:GetObject(Version)?": "a definition that lies in S3",
        r"kms:.*": "a key of our own for executions",
    },
}
# AWS's lists disagree on whether these take a topic or nothing: the service authorization reference names no resource.
_TAKE_NO_RESOURCE = {"sns:Unsubscribe", "sns:GetSubscriptionAttributes"}
_PASSED_TO = {
    "AWS::Lambda::Function": "lambda.amazonaws.com",
    "AWS::StepFunctions::StateMachine": "states.amazonaws.com",
    "AWS::Events::Rule": "events.amazonaws.com",
}
# The condition keys that IAM compares for these actions: see the service authorization reference.
_BOUNDED = {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"}
_WITH_POLICY = {"iam:AttachRolePolicy", "iam:DetachRolePolicy"}
_TAGGING_KEYS = {"kms:CreateKey", "kms:TagResource"}


@dataclass(frozen=True)
class Ask:
    """One call, as IAM sees it.

    Attributes:
        by: the caller: the resource type with the handler, `sls`, or `workflow`.
        step: the handler, or the command.
        context: the condition keys of the request.
    """

    by: str
    step: str
    action: str
    on: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Grant:
    """One action on one resource of a statement."""

    sid: str
    action: str
    resource: str
    condition: str = field(default="{}")

    def allows(self, ask: Ask) -> bool:
        return (
            # Without wildcards: see test_policy_names_actions_and_resources_that_there_are.
            self.action == ask.action
            and matches(self.resource, ask.on)
            and all(
                _holds(operator, key, expected, dict(ask.context))
                for operator, keys in json.loads(self.condition).items()
                for key, expected in keys.items()
            )
        )


def _holds(operator: str, key: str, expected: Any, context: Mapping[str, str]) -> bool:
    # The tests must fail on an operator that they don't know.
    compare = {"StringEquals": str.__eq__, "ArnEquals": matches}[operator]
    return key in context and any(compare(value, context[key]) for value in listed(expected))


def grants(statements: Iterable[Mapping[str, Any]], stage: str) -> list[Grant]:
    """Returns the statements of a policy in bootstrap/, one by one, including those under a condition."""
    statements = [statement.get("Fn::If", ["", statement])[1] for statement in statements]
    return [
        Grant(statement["Sid"], action, resource, json.dumps(resolved(statement.get("Condition", {}), stage)))
        for statement in statements
        for action in listed(statement["Action"])
        for resource in listed(resolved(statement["Resource"], stage))
        if statement["Effect"] == "Allow"
    ]


def role_grants(stage: str, template: Mapping[str, Any]) -> list[Grant]:
    """Returns the rights of the deploy role: by its own policy, and by the key's, which names the role."""
    own = [found for policy in BOOTSTRAP["DeployRole"]["Properties"]["Policies"] for found in statements(policy)]
    key = [
        found
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::KMS::Key"
        # A statement for the account's root grants nothing by itself: it leaves the decision to IAM.
        for found in resource["Properties"]["KeyPolicy"]["Statement"]
        if found["Principal"] == {"AWS": "*"}
    ]
    return grants(own + key, stage)


def boundary_grants(stage: str) -> list[Grant]:
    return grants(BOOTSTRAP["Boundary"]["Properties"]["PolicyDocument"]["Statement"], stage)


def statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def resolved(value: Any, stage: str) -> Any:
    """Returns a value of a template with its references to parameters and pseudo parameters resolved."""
    pseudo = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "Stage": stage}
    match value:
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: pseudo.get(found[1], found[0]), text)
        case {"Ref": "Boundary"}:
            return boundary(stage)
        case {"Ref": "Logins"}:
            return [arn for name, arn in LOGINS.items() if name.endswith("_LOGIN")]
        case {"Ref": "LoginKeys"}:
            return [arn for name, arn in LOGINS.items() if name.endswith("_KEY")]
        case {"Ref": str(name)} if name in pseudo:
            return pseudo[name]
        case {"Fn::If": [str(), then, _]}:
            return resolved(then, stage)
        case dict():
            return {key: resolved(item, stage) for key, item in value.items()}
        case list():
            return [resolved(item, stage) for item in value]
    return value


def role(stage: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{resolved(BOOTSTRAP['DeployRole']['Properties']['RoleName'], stage)}"


def boundary(stage: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:policy/{resolved(BOOTSTRAP['Boundary']['Properties']['ManagedPolicyName'], stage)}"


def excluded(kind: str, action: str) -> str:
    """Returns the reason why an action of a handler is not granted; empty if it must be granted."""
    if not is_action(action):
        return "IAM knows no such action"
    return next((why for pattern, why in FEATURES.get(kind, {}).items() if re.fullmatch(pattern, action)), "")


def handlers(kind: str) -> dict[str, list[str]]:
    """Returns the permissions of a resource type's handlers, and those for its tags."""
    # Importing it takes a worker two seconds, and few workers run these tests.
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    found = {name: schema["handlers"].get(name, {}).get("permissions", []) for name in HANDLERS}
    return found | {"tags": schema.get("tagging", {}).get("permissions", [])}


class Stack:
    """A stage's template, as CloudFormation takes it, and the calls that it needs."""

    def __init__(self, stage: str, template: Mapping[str, Any]) -> None:
        self.stage = stage
        self.resources: dict[str, dict[str, Any]] = template["Resources"]

    def kinds(self) -> set[str]:
        return {resource["Type"] for resource in self.resources.values()}

    def asks(self) -> list[Ask]:
        """Returns all calls, each once."""
        return list(dict.fromkeys((*self._by_cloudformation(), *self._by_sls(), *self._by_workflow())))

    def _by_cloudformation(self) -> Iterator[Ask]:
        for name, resource in self.resources.items():
            kind = resource["Type"]
            for step, actions in handlers(kind).items():
                for action in actions:
                    if not excluded(kind, action):
                        yield from self._asked(name, kind, step, action)

    def _asked(self, name: str, kind: str, step: str, action: str) -> Iterator[Ask]:
        properties = resolved(self.resources[name].get("Properties", {}), self.stage)
        context = {"aws:PrincipalArn": role(self.stage)}
        if action == "iam:PassRole":
            for passed in _roles_of(properties):
                context["iam:PassedToService"] = _PASSED_TO[kind]
                yield self._ask(kind, step, action, self.arn(passed), context)
        elif action in _WITH_POLICY:
            for policy in properties.get("ManagedPolicyArns", []):
                yield self._ask(kind, step, action, self.arn(name), {**context, "iam:PolicyARN": policy})
        else:
            if action in _BOUNDED and "PermissionsBoundary" in properties:
                context["iam:PermissionsBoundary"] = properties["PermissionsBoundary"]
            if action in _TAGGING_KEYS:
                # The tags of the stack, on all its resources.
                context |= {"aws:RequestTag/service": "totes", "aws:RequestTag/stage": self.stage}
            for arn in self._asked_of(name, action):
                yield self._ask(kind, step, action, arn, context)

    def _ask(self, by: str, step: str, action: str, on: str, context: Mapping[str, str]) -> Ask:
        return Ask(by, step, action, on, tuple(sorted(context.items())))

    def _asked_of(self, name: str, action: str) -> list[str]:
        """Returns the resources that IAM checks."""
        service, _, called = action.partition(":")
        kinds = types_of(action)
        if not kinds or action in _TAKE_NO_RESOURCE:
            return ["*"]
        if kinds == ["layerversion"] and "Layers" in self.resources[name]["Properties"]:
            return [f"{self.arn(layer['Ref'])}:1" for layer in self.resources[name]["Properties"]["Layers"]]
        if service == "billing":
            return [f"arn:aws:billing::{ACCOUNT}:billingview/primary"]
        if service == "glue":
            # Glue also requires the right on what contains a table or database, and on what a database contains.
            catalog = f"arn:aws:glue:{REGION}:{ACCOUNT}"
            base = f"totes_{self.stage}"
            all_kinds = {
                "rootcatalog": f"{catalog}:catalog",
                "database": f"{catalog}:database/{base}",
                "table": f"{catalog}:table/{base}/{name}",
                "userdefinedfunction": f"{catalog}:userDefinedFunction/{base}/any",
            }
            return [arn for kind, arn in all_kinds.items() if kind in kinds]
        if called in ("GetObject", "GetObjectVersion"):
            return [f"{self.arn('ServerlessDeploymentBucket')}/serverless/totes/{self.stage}/1-2026/totes.zip"]
        return [self.arn(name)]

    def arn(self, name: str) -> str:
        """Returns a resource's ARN; names that CloudFormation generates end in a wildcard."""
        resource = self.resources[name]
        properties = resolved(resource.get("Properties", {}), self.stage)
        here, made_up = f"{REGION}:{ACCOUNT}", f"totes-{self.stage}-{name}-0A1B2C3D4E5F"
        match resource["Type"], properties:
            case "AWS::Budgets::Budget", {"Budget": {"BudgetName": called}}:
                return f"arn:aws:budgets::{ACCOUNT}:budget/{called}"
            case "AWS::CloudWatch::Alarm", {"AlarmName": called}:
                return f"arn:aws:cloudwatch:{here}:alarm:{called}"
            case "AWS::CloudWatch::Dashboard", {"DashboardName": called}:
                return f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{called}"
            case "AWS::Events::Rule", {"Name": called}:
                return f"arn:aws:events:{here}:rule/{called}"
            case "AWS::IAM::Role", _:
                return f"arn:aws:iam::{ACCOUNT}:role/{properties.get('RoleName', made_up)}"
            case "AWS::KMS::Key", _:
                return f"arn:aws:kms:{here}:key/0a1b2c3d-0000-0000-0000-000000000000"
            case "AWS::Lambda::Function", {"FunctionName": called}:
                return f"arn:aws:lambda:{here}:function:{called}"
            case "AWS::Lambda::LayerVersion", {"LayerName": called}:
                return f"arn:aws:lambda:{here}:layer:{called}"
            case (("AWS::Lambda::Permission" | "AWS::Lambda::EventInvokeConfig"), {"FunctionName": {"Ref": other}}):
                return self.arn(other)
            case "AWS::Logs::LogGroup", {"LogGroupName": called}:
                return f"arn:aws:logs:{here}:log-group:{called}"
            case "AWS::S3::Bucket", _:
                return f"arn:aws:s3:::{properties.get('BucketName', made_up.lower())}"
            case "AWS::S3::BucketPolicy", {"Bucket": {"Ref": other}}:
                return self.arn(other)
            case "AWS::SNS::Topic", {"TopicName": called}:
                return f"arn:aws:sns:{here}:{called}"
            case "AWS::SNS::Subscription", {"TopicArn": {"Ref": other}}:
                return self.arn(other)
            case "AWS::SNS::TopicPolicy", {"Topics": [{"Ref": other}]}:
                return self.arn(other)
            case "AWS::SQS::Queue", {"QueueName": called}:
                return f"arn:aws:sqs:{here}:{called}"
            case "AWS::SQS::QueuePolicy", {"Queues": [{"Ref": other}]}:
                return self.arn(other)
            case "AWS::SecretsManager::Secret", {"Name": called}:
                return f"arn:aws:secretsmanager:{here}:secret:{called}-AbCdEf"
            case "AWS::StepFunctions::StateMachine", {"StateMachineName": called}:
                return f"arn:aws:states:{here}:stateMachine:{called}"
        raise LookupError(
            f"{name} is a {resource['Type']}: say in tests/unit/infrastructure/deploy_role.py what its ARN is"
        )

    def _by_sls(self) -> Iterator[Ask]:
        bucket = self.arn("ServerlessDeploymentBucket")
        of_kind = {
            "cloudformation": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/totes-{self.stage}/0a1b2c3d",
            "bucket": bucket,
            "object": f"{bucket}/serverless/totes/{self.stage}/1-2026/totes.zip",
            "lambda": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:totes-{self.stage}-load",
            "*": "*",
        }
        for command, (kind, actions) in SLS.items():
            yield from (Ask("sls", command, action, of_kind[kind]) for action in actions)

    def _by_workflow(self) -> Iterator[Ask]:
        machine = f"arn:aws:states:{REGION}:{ACCOUNT}"
        execution = f"{machine}:execution:totes-{self.stage}-pipeline:one"
        yield Ask("workflow", "rollback alarms", "cloudwatch:DescribeAlarms", "*")
        yield Ask(
            "workflow", "totes run", "states:StartExecution", f"{machine}:stateMachine:totes-{self.stage}-pipeline"
        )
        for action in ("DescribeExecution", "GetExecutionHistory"):
            yield Ask("workflow", "totes run", f"states:{action}", execution)
        for action, names in EXAMINED.items():
            for name in names:
                on = execution if name == "execution" else name if name == "*" else self._named(name)
                yield Ask("workflow", "totes doctor", action, on)

    def _named(self, name: str) -> str:
        """Returns a resource's ARN, by its name in the template; the stack itself is in no template."""
        stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/totes-{self.stage}/0a1b2c3d"
        return stack if name == "stack" else self.arn(name)


_FUNCTIONS = tuple(f"{name.title()}LambdaFunction" for name in FUNCTIONS)
_BUCKETS, _QUEUES = ("LandingBucket", "ProcessedBucket"), ("MissedStarts", "MissedEnds")
_RULES, _SECRETS = ("ScheduleRule", "EndedRule", "BackfillEndedRule"), ("SourceSecret", "WarehouseSecret")
# The actions of `totes doctor`, and their resources.
EXAMINED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("cloudformation:DescribeStacks", "cloudformation:DescribeStackResource"), ("stack",)),
    "cloudwatch:DescribeAlarms": ("*",),
    "cloudwatch:ListMetrics": ("*",),
    "events:DescribeRule": _RULES,
    "events:ListTargetsByRule": _RULES,
    "lambda:GetFunctionConfiguration": _FUNCTIONS,
    "lambda:InvokeFunction": ("IngestLambdaFunction", "TransformLambdaFunction", "LoadLambdaFunction"),
    "logs:DescribeLogGroups": ("*",),
    **dict.fromkeys(("s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock", "s3:GetBucketVersioning"), _BUCKETS),
    **dict.fromkeys(("s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration"), _BUCKETS),
    "secretsmanager:DescribeSecret": _SECRETS,
    "sns:ListSubscriptionsByTopic": ("AlertsTopic",),
    **dict.fromkeys(("sqs:GetQueueAttributes", "sqs:GetQueueUrl"), _QUEUES),
    "states:DescribeExecution": ("execution",),
    "states:GetExecutionHistory": ("execution",),
    "states:ListExecutions": ("PipelineStateMachine",),
}
# The calls of osls for deploy, rollback, remove and deploy list, by the command of AWS's SDK.
SLS = {
    "CreateChangeSet": ("cloudformation", ["cloudformation:CreateChangeSet"]),
    # The stack's tags need a right of their own.
    "CreateStack": (
        "cloudformation",
        ["cloudformation:CreateStack", "cloudformation:TagResource", "cloudformation:UntagResource"],
    ),
    "DeleteChangeSet": ("cloudformation", ["cloudformation:DeleteChangeSet"]),
    "DeleteObjects": ("object", ["s3:DeleteObject", "s3:DeleteObjectVersion"]),
    "DeleteStack": ("cloudformation", ["cloudformation:DeleteStack"]),
    "DescribeChangeSet": ("cloudformation", ["cloudformation:DescribeChangeSet"]),
    "DescribeStackEvents": ("cloudformation", ["cloudformation:DescribeStackEvents"]),
    "DescribeStackResource": ("cloudformation", ["cloudformation:DescribeStackResource"]),
    "DescribeStacks": ("cloudformation", ["cloudformation:DescribeStacks"]),
    "ExecuteChangeSet": ("cloudformation", ["cloudformation:ExecuteChangeSet"]),
    "GetFunction": ("lambda", ["lambda:GetFunction"]),
    "GetObject": ("object", ["s3:GetObject"]),
    "GetTemplate": ("cloudformation", ["cloudformation:GetTemplate"]),
    "HeadBucket": ("bucket", ["s3:ListBucket"]),
    "HeadObject": ("object", ["s3:GetObject"]),
    "ListObjectVersions": ("bucket", ["s3:ListBucketVersions"]),
    "ListObjectsV2": ("bucket", ["s3:ListBucket"]),
    "ListStackResources": ("cloudformation", ["cloudformation:ListStackResources"]),
    "UpdateStack": ("cloudformation", ["cloudformation:UpdateStack"]),
    "UpdateTerminationProtection": ("cloudformation", ["cloudformation:UpdateTerminationProtection"]),
    # A large file is uploaded in parts; a failed upload is aborted.
    "Upload": ("object", ["s3:PutObject", "s3:AbortMultipartUpload"]),
    "ValidateTemplate": ("*", ["cloudformation:ValidateTemplate"]),
}
# Calls of osls that never happen here: there are no log events, API keys, images, exports or stack policies.
# GetCallerIdentity needs no right.
SLS_SPARES = {
    *("DeleteSubscriptionFilter", "DescribeSubscriptionFilters", "DescribeStackResources", "GetApi", "GetApiKey"),
    *("CreateRepository", "DeleteRepository", "DescribeImages", "DescribeRepositories", "GetAuthorizationToken"),
    *("PutLifecyclePolicy", "ListExports", "SetStackPolicy", "GetCallerIdentity"),
}


def _roles_of(properties: Mapping[str, Any]) -> list[str]:
    passed = [properties.get("Role"), properties.get("RoleArn")]
    passed += [target.get("RoleArn") for target in properties.get("Targets", [])]
    return [reference["Fn::GetAtt"][0] for reference in passed if reference]


@cache
def _authorization() -> dict[str, Any]:
    """Returns AWS's service authorization reference, as cfn-lint ships it: the actions, and their resources."""
    text = resources.files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def is_action(action: str) -> bool:
    service, _, called = action.lower().partition(":")
    return called in _authorization().get(service, {}).get("Actions", {})


def types_of(action: str) -> list[str]:
    """Returns the types of resources that an action is on, in lower case; none if it is on everything."""
    service, _, called = action.lower().partition(":")
    found = _authorization()[service]["Actions"][called].get("Resources", [])
    return [kind.lower() for kind in listed(found)]


def formats_of(action: str) -> list[str]:
    """Returns the forms of the ARNs that an action is on, as patterns of IAM."""
    service = action.lower().partition(":")[0]
    of_service = _authorization()[service]["Resources"]
    forms = [form for kind in types_of(action) for form in of_service[kind]["ARNFormats"]]
    return [re.sub(r"\$\{\w+\}", "*", form).replace(".*", "*") for form in forms]
