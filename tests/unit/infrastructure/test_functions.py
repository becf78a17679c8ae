"""Compares the functions of serverless.yml with their code."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest
import yaml

from local.aws.deployment import ROOT, SERVERLESS
from tests.unit.infrastructure.template import DEV, Template
from totes.runtime.names import FUNCTIONS
from totes.runtime.settings import (
    BackfillSettings,
    IngestSettings,
    LoadSettings,
    ReportSettings,
    TransformSettings,
    WatchSettings,
    variable,
)

TEMPLATE = Template()
SERVERLESS_YML = yaml.safe_load(SERVERLESS.read_text(encoding="utf-8"))
# The function `fail` needs no settings.
SETTINGS: dict[str, type[Any] | None] = {
    "ingest": IngestSettings,
    "transform": TransformSettings,
    "load": LoadSettings,
    "report": ReportSettings,
    "fail": None,
    "watch": WatchSettings,
    "backfill": BackfillSettings,
}
POWERTOOLS = {
    "POWERTOOLS_SERVICE_NAME",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_LOG_LEVEL",
    "POWERTOOLS_TRACE_DISABLED",
}
NAMES = ("BucketName", "TopicName", "Name", "QueueName", "AlarmName", "DashboardName")


def test_every_function_is_deployed_and_no_other() -> None:
    assert TEMPLATE.functions.keys() == set(FUNCTIONS) == {file.stem for file in (ROOT / "functions").glob("[!_]*.py")}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_handler_exists_in_the_file_of_its_name(function: str) -> None:
    path, _, attribute = TEMPLATE.functions[function]["handler"].rpartition(".")
    assert path == f"functions/{function}"
    assert callable(getattr(importlib.import_module(path.replace("/", ".")), attribute))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_environment_is_what_the_settings_need(function: str) -> None:
    settings = SETTINGS[function]
    needed = {variable(field.name) for field in fields(settings)} if settings else set()
    assert TEMPLATE.functions[function]["environment"].keys() == needed | POWERTOOLS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_environment_leads_to_the_resource_of_the_stage(function: str) -> None:
    environment = {key: TEMPLATE.text(value) for key, value in TEMPLATE.functions[function]["environment"].items()}
    expected = {
        "TOTES_LANDING_BUCKET": DEV.landing_bucket,
        "TOTES_PROCESSED_BUCKET": DEV.processed_bucket,
        "TOTES_SOURCE_SECRET": f":secret:{DEV.source_secret}-",
        "TOTES_WAREHOUSE_SECRET": f":secret:{DEV.warehouse_secret}-",
        "TOTES_DOCS": "${env:TOTES_DOCS_URL, 'docs'}",
        "TOTES_MAIL_INTERVALS": "${file(resources/mails.js):intervals}",
        "TOTES_CHAT": "${file(resources/mails.js):chat}",
        "TOTES_ALERTS_TOPIC": DEV.topic_arn,
        "POWERTOOLS_SERVICE_NAME": f"totes-{function}",
        "POWERTOOLS_METRICS_NAMESPACE": "totes-dev",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_TRACE_DISABLED": "false",
    }
    for name, value in environment.items():
        assert expected[name] in value if ":secret:" in expected[name] else expected[name] == value, name


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_has_its_name_role_and_layer(function: str) -> None:
    declared = TEMPLATE.functions[function]
    assert declared["name"] == DEV.function(function)
    # BackfillRole belongs to the state machine.
    assert declared["role"] == ("BackfillFunctionRole" if function == "backfill" else f"{function.title()}Role")
    assert declared["layers"] == [{"Ref": "PythonRequirementsLambdaLayer"}]


def test_wheels_of_the_layer_are_for_the_runtime_and_its_processor() -> None:
    """pip takes any platform that it is given. A wheel for another processor fails at the first import in Lambda."""
    provider, layer = SERVERLESS_YML["provider"], SERVERLESS_YML["custom"]["pythonRequirements"]
    arguments = layer["pipCmdExtraArgs"]
    values = [(name, value) for name, value in pairwise(arguments) if name in ("--platform", "--python-version")]
    processor = {"arm64": "aarch64", "x86_64": "x86_64"}[provider["architecture"]]
    platforms = [value for name, value in values if name == "--platform"]
    assert platforms
    assert [value for value in platforms if not re.fullmatch(rf"manylinux_?[\d_]+_{processor}", value)] == []
    assert provider["runtime"] == "python" + dict(values)["--python-version"]
    assert layer["layer"]["compatibleRuntimes"] == [provider["runtime"]]
    assert layer["layer"]["compatibleArchitectures"] == [provider["architecture"]]
    assert "--only-binary=:all:" in arguments
    # The layer's bytecode, and the Python that builds it in the workflow.
    python = provider["runtime"].removeprefix("python")
    assert f"const RUNTIME = '{python}';" in (ROOT / "resources" / "python.js").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "deploy-stage.yml").read_text(encoding="utf-8")
    assert re.findall(r'python-version: "([\d.]+)"', workflow) == [python]
    assert not any({"runtime", "architecture"} & function.keys() for function in SERVERLESS_YML["functions"].values())


def test_layer_lies_under_its_content_where_osls_does_not_delete_it(compiled: Mapping[str, Mapping[str, Any]]) -> None:
    """In a deployment's folder, which is named after a time, the layer would be deleted before all deployments that
    share it.
    """
    for stage, template in compiled.items():
        key = template["Resources"]["PythonRequirementsLambdaLayer"]["Properties"]["Content"]["S3Key"]
        assert re.fullmatch(rf"serverless/totes/{stage}/code-artifacts/[0-9a-f]{{64}}\.zip", key)
        assert template["Outputs"]["PythonRequirementsLambdaLayerS3Key"]["Value"] == key


def named() -> list[dict[str, Any]]:
    return [resource.get("Properties", {}) for resource in TEMPLATE.resources.values()]


def test_named_resources_bear_the_names_of_the_stage() -> None:
    names = {TEMPLATE.text(found[key]) for found in named() for key in NAMES[:3] if key in found}
    assert names == {
        DEV.landing_bucket,
        DEV.processed_bucket,
        DEV.topic,
        DEV.source_secret,
        DEV.warehouse_secret,
        DEV.rule,
        DEV.ended_rule,
        DEV.backfill_ended_rule,
    }


def test_architecture_draws_everything_that_has_a_name() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    diagram = page.partition("\n## On AWS\n")[2].partition("\n## ")[0]
    names = {TEMPLATE.text(found[key]) for found in named() for key in NAMES if key in found}
    names |= {function["name"] for function in TEMPLATE.functions.values()} | {DEV.state_machine, DEV.backfill}
    assert {name for name in names if not re.search(rf">{re.escape(name)}[<\"]", diagram)} == set()
