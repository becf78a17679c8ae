"""What the local stack takes from serverless.yml, so that it runs what is deployed and not a copy."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from totes.runtime.names import FUNCTIONS

if TYPE_CHECKING:
    from totes.runtime.names import Names

ROOT = Path(__file__).resolve().parents[2]
SERVERLESS = ROOT / "serverless.yml"
STATE_MACHINE = ROOT / "statemachine" / "pipeline.asl.json"
BACKFILL = ROOT / "statemachine" / "backfill.asl.json"
# For what serverless.yml does not say: the longest that Lambda allows, in seconds, and serverless's own default in MB.
LONGEST_TIMEOUT = 900
MEMORY = 1024

_FILE = re.compile(r"\$\{file\(([\w./-]+)\)\}")
_REFERENCE = re.compile(r"#\{([\w.:]+)\}")
_VARIABLE = re.compile(r"\$\{(param|sls):([A-Za-z]\w*)\}")


# What is packed, see `package` in serverless.yml.
PACKED = ("functions", "totes", "schemas")


class DeploymentInvalid(Exception):
    """serverless.yml lacks what the stack needs; the message says what."""


@dataclass(frozen=True)
class ScheduleRule:
    """The EventBridge rule that starts the pipeline.

    Attributes:
        expression: for instance `rate(5 minutes)`.
        state: ENABLED or DISABLED.
    """

    name: str
    expression: str
    state: str
    description: str


class Deployment:
    """serverless.yml, with `${param:…}` and `${sls:stage}` resolved for a stage."""

    def __init__(self, stage: str, file: Path = SERVERLESS) -> None:
        self._file = file
        self._stage = stage
        self._template = _read(file)

    def schedule_rule(self) -> ScheduleRule:
        """The rule of the stage.

        Raises:
            DeploymentInvalid: there is none, or it uses a variable that is not known here.
        """
        rules = [
            resource["Properties"]
            for resource in self.resources().values()
            if resource["Type"] == "AWS::Events::Rule" and "ScheduleExpression" in resource["Properties"]
        ]
        if len(rules) != 1:
            raise DeploymentInvalid(
                f"{self._file} has {len(rules)} rules (AWS::Events::Rule) with a ScheduleExpression; one is needed."
            )
        return ScheduleRule(
            name=rules[0]["Name"],
            expression=rules[0]["ScheduleExpression"],
            state=rules[0].get("State", "ENABLED"),
            description=rules[0].get("Description", ""),
        )

    def ended_pattern(self) -> dict[str, Any]:
        """The event pattern of the rule on executions of the pipeline that end."""
        return dict(self.resources()["EndedRule"]["Properties"]["EventPattern"])

    def resources(self) -> dict[str, dict[str, Any]]:
        """All that `resources` declares, by logical id; CloudFormation's own functions are left as they are."""
        return {
            logical_id: self._resolved(resource)
            for part in self._resource_files()
            for logical_id, resource in part.get("Resources", {}).items()
        }

    def functions(self) -> dict[str, dict[str, Any]]:
        """The functions as declared, each with what it inherits from `provider`, its whole environment included."""
        provider = self._template.get("provider", {})
        inherited = {name: provider[name] for name in ("timeout", "memorySize", "runtime") if name in provider}
        shared = provider.get("environment", {})
        return {
            name: self._resolved(inherited | own | {"environment": shared | own.get("environment", {})})
            for name, own in self._template.get("functions", {}).items()
        }

    def parameter(self, name: str) -> str:
        """The value of a parameter."""
        return self._resolved_text(f"${{param:{name}}}")

    def timeout(self, function: str) -> int:
        """Seconds that a function may take."""
        return int(self._setting(function, "timeout", LONGEST_TIMEOUT))

    def memory(self, function: str) -> int:
        """MB that a function gets."""
        return int(self._setting(function, "memorySize", MEMORY))

    def _resource_files(self) -> list[dict[str, Any]]:
        """The parts of `resources`, which may be a mapping of its own or a list of `${file(…)}`."""
        resources = self._template.get("resources", {})
        parts = resources if isinstance(resources, list) else [resources]
        return [self._included(part) if isinstance(part, str) else part for part in parts]

    def _included(self, reference: str) -> dict[str, Any]:
        match = _FILE.fullmatch(reference)
        if match is None:
            raise DeploymentInvalid(f"{self._file} includes {reference}; only ${{file(…)}} is known here.")
        return _read(self._file.parent / match[1])

    def _setting(self, function: str, name: str, default: int) -> Any:
        own = self._template.get("functions", {}).get(function, {})
        return own.get(name, self._template.get("provider", {}).get(name, default))

    def _resolved(self, value: Any) -> Any:
        """The value with the variables in all its texts replaced."""
        if isinstance(value, dict):
            return {key: self._resolved(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolved(item) for item in value]
        return self._resolved_text(value) if isinstance(value, str) else value

    def _resolved_text(self, text: str) -> str:
        parameters = self._template.get("params", {})
        known = {
            "sls": {"stage": self._stage},
            "param": parameters.get("default", {}) | parameters.get(self._stage, {}),
        }

        def value(match: re.Match[str]) -> str:
            kind, name = match.groups()
            if name not in known[kind]:
                raise DeploymentInvalid(
                    f"{self._file} uses {match[0]}, which is set neither in params.default nor here."
                )
            return str(known[kind][name])

        return _VARIABLE.sub(value, text)


def newest_change() -> int:
    """When a file that would be deployed was last written, in nanoseconds: saved is deployed, on the local stack."""
    files = (file for folder in PACKED for file in (ROOT / folder).rglob("*.*") if "__pycache__" not in file.parts)
    return max(file.stat().st_mtime_ns for file in files)


def state_machine_definition(file: Path, names: "Names") -> str:
    """The workflow with its `#{…}` references resolved to ARNs, as serverless-step-functions does.

    Raises:
        DeploymentInvalid: it refers to something that the local stack has not.
    """
    arns = {f"{name.title()}LambdaFunction.Arn": names.function_arn(name) for name in FUNCTIONS}
    arns["AlertsTopic"] = names.topic_arn

    def arn(match: re.Match[str]) -> str:
        if match[1] not in arns:
            raise DeploymentInvalid(f"{file} refers to {match[0]}; the local stack has {', '.join(sorted(arns))}.")
        return arns[match[1]]

    return _REFERENCE.sub(arn, file.read_text(encoding="utf-8"))


def _read(file: Path) -> dict[str, Any]:
    return _parsed(file.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(text, _CloudFormationLoader)  # noqa: S506  # nosec B506
    return document


class _CloudFormationLoader(yaml.CSafeLoader):
    """Takes `!Sub`, `!GetAtt` and their like for the plain value: nothing here depends on them."""


def _plain(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - there is no fourth kind
    return loader.construct_mapping(node, deep=True)


_CloudFormationLoader.add_multi_constructor("!", _plain)
