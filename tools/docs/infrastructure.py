"""Generates docs/architecture.md's drawing of a stage on AWS and its functions' specifications, from the deployment.

Nothing is drawn by hand: each arrow is a rule's target, an alarm's metric, or a role's right.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from local.aws.deployment import SERVERLESS, Deployment
from tools.docs import mermaid
from tools.docs.components import specifications
from tools.docs.pages import DOCS, with_parts

PAGE = DOCS / "architecture.md"
STAGE, ACCOUNT = "dev", "123456789012"

# The drawn resources: the label, and the property with the resource's name.
DRAWN = {
    "AWS::Events::Rule": ("EventBridge rule", "Name"),
    "AWS::SQS::Queue": ("SQS queue", "QueueName"),
    "AWS::S3::Bucket": ("S3", "BucketName"),
    "AWS::SecretsManager::Secret": ("Secrets Manager", "Name"),
    "AWS::SNS::Topic": ("SNS topic with its own KMS key", "TopicName"),
    "AWS::CloudWatch::Dashboard": ("CloudWatch dashboard", "DashboardName"),
    "AWS::Glue::Database": ("Glue database", "DatabaseInput"),
}
# One box contains all alarms.
ALARM = "AWS::CloudWatch::Alarm"
# Resources that belong to another resource, or appear in its box.
NOT_DRAWN = {
    *(
        "AWS::IAM::Role",
        "AWS::Lambda::Permission",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::KMS::Key",
        "AWS::SNS::Subscription",
        "AWS::Budgets::Budget",
    ),
    # One box contains all log groups.
    "AWS::Logs::LogGroup",
    *("AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy", "AWS::Glue::Table"),
}

_MACHINE = "PipelineStateMachine"
_BACKFILL = "BackfillStateMachine"
# The databases are not part of the stack. The secrets lead to them.
_DATABASES = {"SourceSecret": "totesys", "WarehouseSecret": "warehouse"}
_READS = {"s3:GetObject", "secretsmanager:GetSecretValue"}
_WRITES = {"s3:PutObject", "sns:Publish", "sqs:SendMessage"}
_REFERENCE = re.compile(r"\$\{(\w+)(?:\.\w+)?\}")

Arrow = tuple[str, str, str]


def diagram() -> str:
    """Returns the drawing as Mermaid."""
    return _Stage(Deployment(STAGE)).drawn()


def files() -> dict[Path, str]:
    """Returns the page with the generated parts."""
    parts = {"infrastructure": diagram(), "components": specifications(), "lineage": f"{mermaid.flow()}\n"}
    return {PAGE: with_parts(PAGE, parts)}


class _Stage:
    """A stage's drawn resources by logical id."""

    def __init__(self, deployment: Deployment) -> None:
        self._functions = {f"{name.title()}LambdaFunction": found for name, found in deployment.functions().items()}
        self._resources = deployment.resources()
        kinds = {resource["Type"] for resource in self._resources.values()}
        if unknown := kinds - DRAWN.keys() - NOT_DRAWN - {ALARM}:
            raise LookupError(f"tools/docs/infrastructure.py can't draw {', '.join(sorted(unknown))}: add it there.")

    def drawn(self) -> str:
        kinds = (self._from_rules, self._from_roles, self._from_alarms, self._watched, self._catalogued)
        arrows = dict.fromkeys(arrow for found in kinds for arrow in found())
        lines = [*self._machine(), *self._boxes(), "", *_lines(arrows)]
        return "\n".join(["```mermaid", "flowchart LR", *(f"    {line}".rstrip() for line in lines), "```", ""])

    def _machine(self) -> Iterator[str]:
        """Yields the state machine with the functions that it calls."""
        called = [target for statement in self._statements("MachineRole") for target in _referred(statement)]
        yield f'subgraph {_MACHINE}["Step Functions<br>totes-{STAGE}-pipeline"]'
        yield from (f"    {self._function(name)}" for name in called if name in self._functions)
        yield "end"
        yield from (self._function(name) for name in self._functions if name not in called)
        yield _box(_BACKFILL, "Step Functions", f"totes-{STAGE}-backfill")

    def _function(self, name: str) -> str:
        return _box(name, "Lambda", self._functions[name]["name"])

    def _boxes(self) -> Iterator[str]:
        for kind, (called, named) in DRAWN.items():
            for name, properties in self._of_type(kind):
                shape = "[({})]" if kind == "AWS::S3::Bucket" else "[{}]"
                yield _box(name, called, _text(properties[named]), shape)
        alarms = [properties["AlarmName"] for _, properties in self._of_type(ALARM)]
        yield _box("alarms", "CloudWatch alarms", "<br>".join(alarms))
        groups = [f"/aws/lambda/{function['name']}" for function in self._functions.values()]
        groups += [properties["LogGroupName"] for _, properties in self._of_type("AWS::Logs::LogGroup")]
        yield _box("logs", "CloudWatch log groups", "<br>".join(groups))
        declared = yaml.safe_load(SERVERLESS.read_text(encoding="utf-8"))["custom"]["pythonRequirements"]["layer"]
        yield _box("layer", "Lambda layer", declared["name"].replace("${sls:stage}", STAGE))
        yield from (_box(database, database, "PostgreSQL", "[({})]") for database in _DATABASES.values())
        yield 'mail(["e-mail"])'

    def _from_rules(self) -> Iterator[Arrow]:
        for name, rule in self._of_type("AWS::Events::Rule"):
            for machine in _referred(rule.get("EventPattern", {})):
                yield machine, "-. an execution ends .->", name
            for target in rule["Targets"]:
                (called,) = _referred(target["Arn"])
                how = {_MACHINE: "starts", "AlertsTopic": "notifies"}.get(called, "calls")
                yield name, f"-- {how} -->", called
                for queue in _referred(target.get("DeadLetterConfig", {})):
                    yield name, f"-. could not {'start' if called == _MACHINE else 'deliver'} .->", queue

    def _from_roles(self) -> Iterator[Arrow]:
        roles = {name: function["role"] for name, function in self._functions.items()}
        for name, role in (roles | {_MACHINE: "MachineRole", _BACKFILL: "BackfillRole"}).items():
            for statement in self._statements(role):
                if name == _BACKFILL and statement["Action"] == ["lambda:InvokeFunction"]:
                    yield from ((name, "-- runs in parts -->", other) for other in _referred(statement))
                for other in _touched(statement):
                    if _READS & set(statement["Action"]):
                        yield other, "-->", name
                    elif _WRITES & set(statement["Action"]):
                        yield name, "-->", other
                    if database := _DATABASES.get(other):
                        yield (database, "-->", name) if database == "totesys" else (name, "-->", database)

    def _from_alarms(self) -> Iterator[Arrow]:
        for _, alarm in self._of_type(ALARM):
            for dimension in _dimensions(alarm):
                # In our own metrics, the service is the function.
                own = f"{str(dimension['Value']).removeprefix('totes-').title()}LambdaFunction"
                for watched in [own] if dimension["Name"] == "service" else _referred(dimension["Value"]):
                    yield watched, "-. metrics .->", "alarms"
            for topic in _referred(alarm.get("AlarmActions", [])):
                yield "alarms", "-->", topic
        for _, subscription in self._of_type("AWS::SNS::Subscription"):
            yield from ((topic, "-->", "mail") for topic in _referred(subscription["TopicArn"]))

    def _watched(self) -> Iterator[Arrow]:
        called = {target for statement in self._statements("MachineRole") for target in _referred(statement)}
        for name in (_MACHINE, *(function for function in self._functions if function not in called)):
            yield "layer", "-.-", name
            yield name, "-->", "logs"
        yield _BACKFILL, "-->", "logs"
        for name, dashboard in self._of_type("AWS::CloudWatch::Dashboard"):
            yield "logs", "-- metrics -->", name
            if any(self._resources.get(shown, {}).get("Type") == ALARM for shown in _referred(dashboard)):
                yield "alarms", "-->", name

    def _catalogued(self) -> Iterator[Arrow]:
        for _, table in self._of_type("AWS::Glue::Table"):
            (database,) = _referred(table["DatabaseName"])
            for bucket in _referred(table["TableInput"]["StorageDescriptor"]["Location"]):
                yield bucket, "-. tables .->", database

    def _of_type(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        return (
            (name, resource["Properties"]) for name, resource in self._resources.items() if resource["Type"] == kind
        )

    def _statements(self, role: str) -> Iterator[dict[str, Any]]:
        for policy in self._resources[role]["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                # Skips statements with a condition: they are for tracing, which is not drawn.
                if "Fn::If" not in statement:
                    yield statement


def _dimensions(alarm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the dimensions of an alarm's metric, or of all metrics in its expression."""
    queried = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", ()) if "MetricStat" in query]
    return [dimension for metric in queried or [alarm] for dimension in metric["Dimensions"]]


def _touched(statement: Mapping[str, Any]) -> list[str]:
    """Returns the resources that a statement refers to. Skips reads of a zone's log and of a backfill's own notes."""
    noted = ("/log/", "/backfill/")
    return _referred([found for found in statement["Resource"] if not any(folder in str(found) for folder in noted)])


def _referred(value: Any) -> list[str]:
    """Returns the logical ids that a value refers to, in order."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
            return [] if "::" in name else [name]
        case {"Fn::Sub": str(text)}:
            return list(dict.fromkeys(_REFERENCE.findall(text)))
        case dict():
            return _referred(list(value.values()))
        case list():
            return list(dict.fromkeys(name for item in value for name in _referred(item)))
    return []


def _text(value: Any) -> str:
    """Returns a name as text, with the account's number filled in."""
    text = value.get("Fn::Sub") or value["Name"] if isinstance(value, dict) else value
    return str(text).replace("${AWS::AccountId}", ACCOUNT)


def _box(name: str, called: str, text: str, shape: str = "[{}]") -> str:
    return name + shape.format(f'"{called}<br>{text}"')


def _lines(arrows: Iterable[Arrow]) -> Iterator[str]:
    """Yields the arrows. Merges two opposite arrows into one with two heads."""
    arrows = list(arrows)
    for source, line, target in arrows:
        if (target, line, source) not in arrows or line != "-->":
            yield f"{source} {line} {target}"
        elif source < target:
            yield f"{source} <--> {target}"
