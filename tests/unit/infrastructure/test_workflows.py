"""The workflows of GitHub Actions: checks that zizmor and actionlint do not make."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.aws.deployment import ROOT, SERVERLESS
from tests.unit.infrastructure.template import Template

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES}
STAGE = WORKFLOWS["deploy-stage.yml"]
SERVERLESS_PARAMS = yaml.safe_load(SERVERLESS.read_text(encoding="utf-8"))["params"]["default"]
ROLE = yaml.safe_load((ROOT / "bootstrap" / "github-oidc.yml").read_text(encoding="utf-8"))["Resources"]["DeployRole"]
STEPS = [step for job in STAGE["jobs"].values() for step in job["steps"]]
PATH = {"PATH": os.environ["PATH"]}
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
    # YAML reads a bare `on` as a truth value.
    assert workflow[True] == {"push": {"branches": ["main"]}}
    jobs = workflow["jobs"]
    assert (jobs["dev"]["needs"], jobs["prod"]["needs"]) == ("ci", "dev")
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    for stage in ("dev", "prod"):
        assert jobs[stage]["uses"] == "./.github/workflows/deploy-stage.yml"
        assert jobs[stage]["with"] == {"stage": stage}


def test_everything_is_tested_on_the_deployed_python_and_the_oldest() -> None:
    jobs = WORKFLOWS["ci.yml"]["jobs"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    deployed = yaml.safe_load(SERVERLESS.read_text(encoding="utf-8"))["provider"]["runtime"].removeprefix("python")
    assert jobs["test"]["strategy"]["matrix"]["python"] == [oldest, deployed]
    fast = jobs["fast"]["strategy"]["matrix"]["python"]
    assert {oldest, deployed} < set(fast)
    minors = [int(version.removeprefix("3.")) for version in fast]
    assert minors == list(range(minors[0], minors[-1] + 1)), "a version between the oldest and the newest is left out"
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert commands == {"fast": ["npm ci", "make test-fast lint"], "test": ["npm ci", "make test"]}


def test_what_is_long_runs_every_night() -> None:
    nightly = WORKFLOWS["nightly.yml"]
    assert nightly[True]["schedule"]
    (job,) = nightly["jobs"].values()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in job["strategy"]["matrix"]["target"]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert job["steps"][-1]["run"].startswith('make "$TARGET"')


def test_deployments_of_a_stage_never_overlap() -> None:
    (job,) = STAGE["jobs"].values()
    assert job["concurrency"] == {"group": "deploy-${{ inputs.stage }}", "cancel-in-progress": False}
    # The environment with the stage's name has the reviewers, and the role's trust requires it.
    assert job["environment"] == "${{ inputs.stage }}"


def test_deployment_is_run_before_it_counts() -> None:
    commands = [step.get("run", "") for step in STEPS]
    (deploy,) = [place for place, command in enumerate(commands) if "npx sls deploy" in command]
    (run,) = [place for place, command in enumerate(commands) if re.search(r"totes --stage .* run$", command)]
    assert deploy < run
    assert "TOTES_ROLLBACK_ALARMS" in commands[deploy]


def test_stage_is_examined_after_its_execution_even_if_that_failed() -> None:
    commands = [step.get("run", "") for step in STEPS]
    (run,) = [place for place, command in enumerate(commands) if re.search(r"totes --stage .* run$", command)]
    (examined,) = [place for place, command in enumerate(commands) if re.search(r"totes --stage .* doctor;", command)]
    assert examined == run + 1
    assert STEPS[examined]["if"] == f"success() || steps.{STEPS[run]['id']}.outcome == 'failure'"


@pytest.mark.parametrize(("answers", "attempts", "code"), [("0", 1, 0), ("1 0", 2, 0), ("1 1 1", 3, 1)])
def test_examination_is_repeated_until_nothing_failed(tmp_path: Path, answers: str, attempts: int, code: int) -> None:
    (command,) = [step["run"] for step in STEPS if "doctor" in step.get("run", "")]
    totes = tmp_path / ".venv" / "bin" / "totes"
    totes.parent.mkdir(parents=True)
    totes.write_text(f'#!/bin/bash\necho "$@" >> asked\nset -- {answers}\nshift $(($(wc -l < asked) - 1))\nexit $1\n')
    totes.chmod(0o755)
    script = f"sleep() {{ :; }}\n{command}"
    ran = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env={"STAGE": "dev", "AWS_REGION": "x"} | PATH)
    assert ran.returncode == code
    assert (tmp_path / "asked").read_text().splitlines() == ["--stage dev --region x doctor"] * attempts


def test_update_is_undone_by_the_alarms_that_mean_it_failed_alone() -> None:
    (command,) = [step["run"] for step in STEPS if "TOTES_ROLLBACK_ALARMS" in step.get("run", "")]
    alarms = re.search(r"describe-alarms --alarm-names ((?:\"[^\"]+\" )+)", command)
    assert alarms, "other alarms also go off after a good update, so these are named one by one"
    names = {name.replace("$STAGE", "dev") for name in re.findall(r'"([^"]+)"', alarms[1])}
    assert names == {"totes-dev-failed", "totes-dev-watch"}
    assert names <= {alarm["AlarmName"] for alarm in Template().of_type("AWS::CloudWatch::Alarm").values()}
    # CloudFormation takes at most five. An alarm that is going off would undo the update that repairs its cause.
    assert "--state-value OK" in command


def test_workflow_gives_e_mails_an_address_to_link_to() -> None:
    (job,) = STAGE["jobs"].values()
    (variable,) = re.findall(r"\$\{env:(\w+)", SERVERLESS_PARAMS["docs"])
    assert variable in job["env"]
    assert "format('{0}/{1}/blob/{2}/docs', github.server_url, github.repository, github.sha)" in job["env"][variable]


def test_workflow_bounds_the_roles_as_the_deploy_role_needs_it() -> None:
    (job,) = STAGE["jobs"].values()
    assert SERVERLESS_PARAMS["boundary"] == "${env:TOTES_BOUNDARY, 'false'}"
    assert job["env"]["TOTES_BOUNDARY"] == "true"


def test_deploy_role_trusts_what_the_workflow_presents() -> None:
    """The token's subject names the job's environment, which has the stage's name."""
    (job,) = STAGE["jobs"].values()
    (trust,) = ROLE["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    subject = trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]["Fn::Sub"]
    assert (job["environment"], subject) == ("${{ inputs.stage }}", "repo:${Repository}:environment:${Stage}")
    assert job["permissions"]["id-token"] == "write"


def test_session_is_no_longer_than_the_role_allows_and_outlasts_the_job() -> None:
    (role,) = [step["with"] for step in STEPS if "configure-aws-credentials" in step.get("uses", "")]
    (job,) = STAGE["jobs"].values()
    assert job["timeout-minutes"] * 60 <= role["role-duration-seconds"] <= ROLE["Properties"]["MaxSessionDuration"]


def test_advisory_of_today_stops_no_deployment() -> None:
    """A job of deploy.yml, or of a workflow that it calls, would also stop a revert."""
    called: list[str] = ["deploy.yml"]
    reached: set[str] = set()
    while called:
        name = called.pop()
        reached.add(name)
        uses = [job.get("uses", "") for job in WORKFLOWS[name]["jobs"].values()]
        called += [Path(used).name for used in uses if Path(used).name in WORKFLOWS.keys() - reached]
    auditing = {file.name for file in FILES if "make audit" in file.read_text(encoding="utf-8")}
    assert auditing == {"audit.yml"}
    assert reached == {"deploy.yml", "deploy-stage.yml", "ci.yml"}


def test_page_installs_the_command_before_it_uses_it() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert page.index("$ make install && . .venv/bin/activate\n") < page.index("$ totes ")


def test_nothing_is_installed_once_there_are_credentials() -> None:
    (assumed,) = [place for place, step in enumerate(STEPS) if "configure-aws-credentials" in step.get("uses", "")]
    assert set(STEPS[assumed]["with"]) == {"role-to-assume", "aws-region", "role-duration-seconds"}
    installs = [place for place, step in enumerate(STEPS) if re.search(r"npm ci|make install", step.get("run", ""))]
    assert len(installs) == 2
    assert max(installs) < assumed


def test_nothing_is_whatever_is_newest() -> None:
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    versions = package["devDependencies"]
    assert {name: version for name, version in versions.items() if not re.fullmatch(r"[\d.]+", version)} == {}
    for file in (ROOT / "serverless.yml", *FILES):
        assert "latest" not in file.read_text(encoding="utf-8"), file.name
