"""The workflows of GitHub Actions: what zizmor and actionlint do not ask."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.deployment import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES}
STAGE = WORKFLOWS["deploy-stage.yml"]
STEPS = [step for job in STAGE["jobs"].values() for step in job["steps"]]
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)+")


def permissions(workflow: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {name: job.get("permissions", workflow.get("permissions")) for name, job in workflow["jobs"].items()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_by_commit_and_say_their_version(file: Path) -> None:
    used = re.findall(r"uses: *(.*)", file.read_text(encoding="utf-8"))
    assert used
    assert [action for action in used if not action.startswith("./") and not _PINNED.fullmatch(action)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_same_action_is_the_same_commit_everywhere(file: Path) -> None:
    everywhere = " ".join(other.read_text(encoding="utf-8") for other in FILES)
    for action, _ in re.findall(r"uses: *([\w.-]+/[\w./-]+)@(\w+)", file.read_text(encoding="utf-8")):
        assert len(set(re.findall(rf"{re.escape(action)}@(.*)", everywhere))) == 1


def test_only_what_deploys_may_ask_for_a_role() -> None:
    asking = {
        (file, job)
        for file, workflow in WORKFLOWS.items()
        for job, granted in permissions(workflow).items()
        if granted.get("id-token") == "write"
    }
    assert asking == {("deploy.yml", "dev"), ("deploy.yml", "prod"), ("deploy-stage.yml", "deploy")}
    granted = {
        access for workflow in WORKFLOWS.values() for found in permissions(workflow).values() for access in found
    }
    assert granted == {"contents", "id-token"}


def test_main_reaches_prod_by_way_of_the_tests_and_dev() -> None:
    workflow = WORKFLOWS["deploy.yml"]
    # YAML takes a bare `on` for a truth value.
    assert workflow[True] == {"push": {"branches": ["main"]}}
    jobs = workflow["jobs"]
    assert (jobs["dev"]["needs"], jobs["prod"]["needs"]) == ("ci", "dev")
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    for stage in ("dev", "prod"):
        assert jobs[stage]["uses"] == "./.github/workflows/deploy-stage.yml"
        assert jobs[stage]["with"] == {"stage": stage}


def test_deployments_of_a_stage_never_overlap() -> None:
    (job,) = STAGE["jobs"].values()
    assert job["concurrency"] == {"group": "deploy-${{ inputs.stage }}", "cancel-in-progress": False}
    # The environment of the stage's name has the reviewers, and is what the role's trust asks for.
    assert job["environment"] == "${{ inputs.stage }}"


def test_deployment_is_run_before_it_counts() -> None:
    commands = [step.get("run", "") for step in STEPS]
    (deploy,) = [place for place, command in enumerate(commands) if "npx sls deploy" in command]
    (run,) = [place for place, command in enumerate(commands) if re.search(r"totes --stage .* run$", command)]
    assert deploy < run
    assert "TOTES_ROLLBACK_ALARMS" in commands[deploy]


def test_nothing_is_installed_once_there_are_credentials() -> None:
    (assumed,) = [place for place, step in enumerate(STEPS) if "configure-aws-credentials" in step.get("uses", "")]
    assert set(STEPS[assumed]["with"]) == {"role-to-assume", "aws-region", "role-duration-seconds"}
    installs = [place for place, step in enumerate(STEPS) if re.search(r"npm ci|\.installed", step.get("run", ""))]
    assert len(installs) == 2
    assert max(installs) < assumed


def test_nothing_is_whatever_is_newest() -> None:
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    versions = package["devDependencies"]
    assert {name: version for name, version in versions.items() if not re.fullmatch(r"[\d.]+", version)} == {}
    for file in (ROOT / "serverless.yml", *FILES):
        assert "latest" not in file.read_text(encoding="utf-8"), file.name
