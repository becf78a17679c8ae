"""The role that GitHub Actions deploys with: whom it trusts, and how far it reaches."""

import re
from typing import Any

import yaml

from local.aws.deployment import ROOT

ROLE = yaml.safe_load((ROOT / "bootstrap" / "github-oidc.yml").read_text(encoding="utf-8"))["Resources"]["DeployRole"]
STATEMENTS = {
    found["Sid"]: found for policy in ROLE["Properties"]["Policies"] for found in policy["PolicyDocument"]["Statement"]
}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(sid: str) -> list[str]:
    return listed(STATEMENTS[sid]["Action"])


def test_only_the_stages_environment_of_the_repository_is_trusted() -> None:
    (trust,) = ROLE["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    # Equal and not like: a pattern would let in other repositories or branches.
    assert trust["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": {"Fn::Sub": "repo:${Repository}:environment:${Stage}"},
        }
    }


def test_every_resource_is_of_the_stage_or_can_not_be_named() -> None:
    reading = re.compile(r":(Describe|Validate|List)")
    for sid, statement in STATEMENTS.items():
        for resource in listed(statement["Resource"]):
            if resource == "*":
                tagged = "stage" in str(statement.get("Condition", {}))
                assert tagged or sid == "Subscription" or all(reading.search(action) for action in actions(sid)), sid
            elif not resource["Fn::Sub"].endswith((":catalog", ":billingview/primary")):
                assert re.search(r"totes[-/_]\$\{Stage\}", resource["Fn::Sub"]), sid


def test_catalogue_is_named_where_glue_asks_for_it_alone() -> None:
    """By itself the right on the catalogue makes, changes and deletes nothing: the database and the table count too."""
    naming = {sid for sid, found in STATEMENTS.items() if ":catalog" in str(found["Resource"])}
    assert naming == {"LakeDatabase"}


def test_role_can_not_change_itself() -> None:
    assert not ROLE["Properties"]["RoleName"]["Fn::Sub"].startswith("totes-")
    changing = {sid for sid in STATEMENTS if any(action.startswith("iam:") for action in actions(sid))}
    assert changing == {"Roles", "BoundedRoles", "LetRolesIntoVpc", "HandRolesOver"}
    # A policy that could be attached freely would be a way to any right.
    assert "iam:AttachRolePolicy" not in actions("Roles")
    (attached,) = STATEMENTS["LetRolesIntoVpc"]["Condition"]["ArnEquals"].values()
    assert attached["Fn::Sub"].endswith("/service-role/AWSLambdaENIManagementAccess")
    passed = STATEMENTS["HandRolesOver"]["Condition"]["StringEquals"]["iam:PassedToService"]
    assert set(passed) == {f"{service}.amazonaws.com" for service in ("lambda", "states", "events")}


def test_deploying_gives_no_sight_of_data_or_secrets() -> None:
    allowed = {action for sid in STATEMENTS for action in actions(sid)}
    assert "secretsmanager:GetSecretValue" not in allowed
    objects = {sid for sid in STATEMENTS if any(action.endswith("Object") for action in actions(sid))}
    assert objects == {"Artifacts"}
    assert "serverlessdeploymentbucket" in STATEMENTS["Artifacts"]["Resource"]["Fn::Sub"]
