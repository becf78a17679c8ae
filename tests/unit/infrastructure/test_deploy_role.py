"""The deploy role has exactly the rights that a deployment needs."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from local.aws.deployment import ROOT
from tests.support.manual import documented_actions
from tests.unit.infrastructure.deploy_role import (
    ACCOUNT,
    BOOTSTRAP,
    EXAMINED,
    FEATURES,
    REGION,
    SLS,
    SLS_SPARES,
    Ask,
    Grant,
    Stack,
    boundary,
    boundary_grants,
    excluded,
    formats_of,
    grants,
    handlers,
    is_action,
    listed,
    matches,
    resolved,
    role,
    role_grants,
    types_of,
)
from tests.unit.infrastructure.template import Template
from totes.runtime.names import Names

STAGES = ("dev", "prod")
TABLE = ROOT / "build" / "deploy-role.md"
OSLS = ROOT / "node_modules" / "osls" / "lib" / "plugins" / "aws"
# IAM's limits, not counting white space: of all inline policies of a role together, and of a managed policy.
INLINE_POLICIES, MANAGED_POLICY = 10_240, 6_144
Compiled = Mapping[str, Mapping[str, Any]]


def red(asks: list[Ask], granted: list[Grant]) -> set[Ask]:
    return {ask for ask in asks if not any(grant.allows(ask) for grant in granted)}


@pytest.fixture(scope="module", autouse=True)
def _write_table(compiled: Compiled) -> Iterator[None]:
    """Writes build/deploy-role.md: each needed right, and the statement that grants it or the reason why none does."""
    yield
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("\n".join(table(compiled)) + "\n", encoding="utf-8")


def table(compiled: Compiled) -> Iterator[str]:
    yield "# What a deployment asks of AWS, and what grants it to the deploy role"
    yield ""
    yield "| Asked by | Action | In | On | Granted by |"
    yield "| --- | --- | --- | --- | --- |"
    rows: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for stage in STAGES:
        granted = role_grants(stage, compiled[stage])
        for ask in Stack(stage, compiled[stage]).asks():
            by = [grant for grant in granted if grant.allows(ask)]
            resource = by[0].resource.replace(stage, "<stage>") if by else ask.on
            rows[ask.by, ask.action, resource, by[0].sid if by else "**nothing**"].add(ask.step)
    for (by, action, resource, sid), steps in sorted(rows.items()):
        yield f"| {by} | `{action}` | {', '.join(sorted(steps))} | `{resource}` | {sid} |"
    for kind in sorted(Stack("prod", compiled["prod"]).kinds()):
        for action in sorted({action for actions in handlers(kind).values() for action in actions}):
            if why := excluded(kind, action):
                yield f"| {kind} | `{action}` | | | not granted: {why} |"


@pytest.mark.parametrize("stage", STAGES)
def test_deploy_role_is_granted_what_a_deployment_asks(stage: str, compiled: Compiled) -> None:
    refused = red(Stack(stage, compiled[stage]).asks(), role_grants(stage, compiled[stage]))
    assert sorted(f"{ask.by} {ask.step}: {ask.action} on {ask.on}" for ask in refused) == []


@pytest.mark.parametrize("stage", STAGES)
def test_each_grant_that_is_deleted_turns_exactly_its_rows_red(stage: str, compiled: Compiled) -> None:
    """No grant is superfluous, and no two grant the same."""
    asks, granted = Stack(stage, compiled[stage]).asks(), role_grants(stage, compiled[stage])
    for grant in granted:
        same = [ask for ask in asks if ask.action == grant.action]
        its_own = {ask for ask in same if grant.allows(ask)}
        assert its_own, f"{grant.sid}: nothing asks for {grant.action} on {grant.resource}"
        left = [other for other in granted if other is not grant]
        assert red(same, left) == its_own, f"{grant.sid}: {grant.action} on {grant.resource}"


def test_every_exclusion_is_of_an_action_that_a_handler_lists() -> None:
    for kind, features in FEATURES.items():
        actions = {action for listed_ in handlers(kind).values() for action in listed_}
        for pattern in features:
            assert any(re.fullmatch(pattern, action) for action in actions), f"{kind}: {pattern}"


def test_another_stage_is_refused_everything_that_can_be_named(compiled: Compiled) -> None:
    granted = [grant for grant in role_grants("dev", compiled["dev"]) if grant.resource != "*"]
    allowed = {ask.on for ask in Stack("prod", compiled["prod"]).asks() if any(grant.allows(ask) for grant in granted)}
    # The catalog alone allows nothing, and costs belong to the account.
    assert allowed == {f"arn:aws:glue:{REGION}:{ACCOUNT}:catalog", f"arn:aws:billing::{ACCOUNT}:billingview/primary"}


@pytest.mark.skipif(not OSLS.exists(), reason="needs Node's packages: run npm ci")
def test_every_call_of_osls_is_written_down() -> None:
    folders = (OSLS / "deploy", OSLS / "lib", OSLS / "remove", OSLS / "info")
    files = [file for folder in folders for file in folder.rglob("*.js")]
    files += [OSLS / name for name in ("rollback.js", "deletion-protection.js", "provider.js")]
    files += [OSLS / "package" / "compile" / name for name in ("functions.js", "layers.js")]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    called = set(re.findall(r"new (\w+)Command\(", source)) | set(re.findall(r"new (Upload)\(", source))
    called |= set(re.findall(r"\bpaginate(\w+)\(", source))
    assert called - SLS_SPARES == SLS.keys()


def test_examination_asks_what_its_row_in_the_manual_says() -> None:
    assert documented_actions()["doctor"] == EXAMINED.keys()


def creation(name: str, **context: str) -> Ask:
    keys = {"aws:PrincipalArn": role("dev"), **{key.replace("_", ":"): value for key, value in context.items()}}
    return Ask("AWS::IAM::Role", "create", "iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/{name}", tuple(keys.items()))


@pytest.mark.parametrize("action", ["iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"])
@pytest.mark.parametrize(
    ("name", "context", "allowed"),
    [
        ("totes-dev-IngestRole-1", {"iam_PermissionsBoundary": boundary("dev")}, True),
        ("totes-dev-IngestRole-1", {}, False),
        ("totes-dev-IngestRole-1", {"iam_PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}, False),
        ("totes-dev-IngestRole-1", {"iam_PermissionsBoundary": boundary("prod")}, False),
        ("totes-prod-IngestRole-1", {"iam_PermissionsBoundary": boundary("dev")}, False),
        ("github-deploys-totes-dev", {"iam_PermissionsBoundary": boundary("dev")}, False),
    ],
    ids=["bounded", "without", "another", "other-stage's", "role-of-other-stage", "itself"],
)
def test_role_gets_rights_within_the_boundary_alone(
    action: str, name: str, context: dict[str, str], allowed: bool, compiled: Compiled
) -> None:
    asked = creation(name, **context)
    asked = Ask(asked.by, asked.step, action, asked.on, asked.context)
    assert any(grant.allows(asked) for grant in role_grants("dev", compiled["dev"])) is allowed


def test_boundary_can_be_neither_taken_off_nor_changed(compiled: Compiled) -> None:
    granted = role_grants("dev", compiled["dev"])
    refused = [
        ("iam:DeleteRolePermissionsBoundary", f"arn:aws:iam::{ACCOUNT}:role/totes-dev-IngestRole-1"),
        *((f"iam:{action}", boundary("dev")) for action in ("CreatePolicyVersion", "SetDefaultPolicyVersion")),
        ("iam:DeletePolicy", boundary("dev")),
    ]
    for action, on in refused:
        asked = Ask("anybody", "", action, on, (("aws:PrincipalArn", role("dev")),))
        assert not any(grant.allows(asked) for grant in granted), action


def test_every_role_of_the_stage_has_the_boundary(compiled: Compiled) -> None:
    for stage in STAGES:
        assert compiled[stage]["Conditions"]["HasBoundary"] == {"Fn::Equals": ["false", "true"]}
        for name, resource in compiled[stage]["Resources"].items():
            if resource["Type"] == "AWS::IAM::Role":
                attached = resource["Properties"].get("PermissionsBoundary")
                assert attached, f"{name} has no boundary, so the deploy role may not create it"
                assert (attached["Fn::If"][0], attached["Fn::If"][2]) == ("HasBoundary", {"Ref": "AWS::NoValue"})
                assert resolved(attached, stage) == boundary(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_boundary_leaves_every_role_what_its_policy_allows(stage: str) -> None:
    template, bounds = Template(Names(stage, ACCOUNT, REGION)), boundary_grants(stage)
    for name in template.of_type("AWS::IAM::Role"):
        for statement in template.statements(name):
            for part in statement.parts():
                service = "secretsmanager" if statement.sid.endswith("Login") else "sns"
                context = (("kms:ViaService", f"{service}.{REGION}.amazonaws.com"),)
                asked = Ask(name, statement.sid, part.actions[0], part.resources[0], context)
                assert any(grant.allows(asked) for grant in bounds), f"{name}: {statement.sid}, {asked.action}"


def test_boundary_leaves_lambda_its_way_into_a_vpc() -> None:
    (statement,) = json.loads(aws_managed_policies_data)["AWSLambdaENIManagementAccess"]["Document"]["Statement"]
    assert set(statement["Action"]) == {grant.action for grant in boundary_grants("dev") if grant.sid == "Network"}


@pytest.mark.parametrize(
    ("action", "on"),
    [
        ("s3:PutBucketPolicy", "arn:aws:s3:::totes-dev-landing-123456789012"),
        ("s3:PutBucketPublicAccessBlock", "arn:aws:s3:::totes-dev-landing-123456789012"),
        ("s3:PutLifecycleConfiguration", "arn:aws:s3:::totes-dev-processed-123456789012"),
        ("s3:DeleteObject", "arn:aws:s3:::totes-dev-landing-123456789012/log/00000001.json"),
        ("s3:DeleteObjectVersion", "arn:aws:s3:::totes-dev-landing-123456789012/log/00000001.json"),
        ("s3:BypassGovernanceRetention", "arn:aws:s3:::totes-dev-landing-123456789012/log/00000001.json"),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/file"),
        ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:totes/prod/source-AbCdEf"),
        ("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/of-somebody-else"),
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/totes-dev-More-1"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/administrator"),
        ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:totes-dev-load"),
    ],
)
def test_boundary_keeps_a_role_from(action: str, on: str) -> None:
    assert not any(grant.allows(Ask("role", "", action, on)) for grant in boundary_grants("dev"))


def policies() -> Iterator[tuple[str, list[Grant]]]:
    template = Template()
    yield (
        "DeployRole",
        grants(BOOTSTRAP["DeployRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"], "dev"),
    )
    yield "Boundary", boundary_grants("dev")
    for name in template.of_type("AWS::IAM::Role"):
        parts = [part for statement in template.statements(name) for part in statement.parts()]
        yield name, [Grant(part.sid, part.actions[0], part.resources[0]) for part in parts]


@pytest.mark.parametrize(
    ("name", "granted"), list(policies()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_policy_names_actions_and_resources_that_there_are(name: str, granted: list[Grant]) -> None:
    """By AWS's service authorization reference: a misspelt action, or one on the wrong kind of resource, silently
    grants nothing.
    """
    for grant in granted:
        assert "*" not in grant.action, f"{name} {grant.sid}: {grant.action}"
        assert is_action(grant.action), f"{name} {grant.sid}: IAM knows no {grant.action}"
        if grant.resource != "*":
            assert types_of(grant.action), f"{name} {grant.sid}: {grant.action} takes no resource, so it needs *"
            # Either may be the narrower one.
            forms = formats_of(grant.action)
            assert any(matches(form, grant.resource) or matches(grant.resource, form) for form in forms), (
                f"{name} {grant.sid}: {grant.action} is on {forms} and not on {grant.resource}"
            )


def test_policies_fit_into_the_limits_of_iam() -> None:
    inline = [policy["PolicyDocument"] for policy in BOOTSTRAP["DeployRole"]["Properties"]["Policies"]]
    managed = BOOTSTRAP["Boundary"]["Properties"]["PolicyDocument"]
    # This stage has the longest name that leaves the buckets' names short enough.
    stage = "a" * 12
    size = [len(re.sub(r"\s", "", json.dumps(resolved(document, stage)))) for document in (*inline, managed)]
    assert sum(size[:-1]) <= INLINE_POLICIES
    assert size[-1] <= MANAGED_POLICY


def test_key_names_the_deploy_role_and_no_other(compiled: Compiled) -> None:
    for stage in STAGES:
        key = compiled[stage]["Resources"]["AlertsKey"]["Properties"]["KeyPolicy"]["Statement"]
        (open_to_all,) = [found for found in key if found["Principal"] == {"AWS": "*"}]
        assert resolved(open_to_all["Condition"], stage) == {"ArnEquals": {"aws:PrincipalArn": role(stage)}}
        # It administers the key, but can't use it.
        assert not {"kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"} & set(listed(open_to_all["Action"]))
