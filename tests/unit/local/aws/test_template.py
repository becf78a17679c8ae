from pathlib import Path
from typing import Any

import pytest

from local.aws import template
from local.aws.deployment import ROOT, SERVERLESS
from local.aws.template import NotCompiled, compile_templates

pytestmark = pytest.mark.skipif(
    not (ROOT / "node_modules" / "osls").exists(), reason="needs Node and its packages: run npm ci"
)


def test_templates_are_those_of_their_stages(compiled: dict[str, dict[str, Any]]) -> None:
    for stage, policy in (("dev", "Delete"), ("prod", "RetainExceptOnCreate")):
        resources = compiled[stage]["Resources"]
        assert resources["LoadLambdaFunction"]["Properties"]["FunctionName"] == f"totes-{stage}-load"
        assert resources["LandingBucket"]["DeletionPolicy"] == policy
        assert resources["FreshnessAlarm"]["Properties"]["Period"] == 900
        # This includes the resources that plugins add, not only those of serverless.yml.
        kinds = {resource["Type"] for resource in resources.values()}
        assert {"AWS::Lambda::LayerVersion", "AWS::StepFunctions::StateMachine", "AWS::Logs::LogGroup"} <= kinds


def test_refusal_says_what_osls_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "serverless.yml"
    broken.write_text(SERVERLESS.read_text(encoding="utf-8").replace("memorySize: 1769", "memorySize: lots"))
    monkeypatch.setattr(template, "SERVERLESS", broken)

    with pytest.raises(NotCompiled, match=r"(?s)stage dev.*provider\.memorySize.*must be integer"):
        compile_templates(tmp_path, ["dev"])
