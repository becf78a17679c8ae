"""`sls deploy` creates all declared resources, and gives those that run the properties that matter."""

import json

import pytest

from tests.deploy.stage import Stage

FUNCTIONS = ("ingest", "transform", "load")
TEMPLATE = "cloudformation-template-update-stack.json"


def test_every_declared_resource_exists(stage: Stage) -> None:
    declared = json.loads((stage.packed / TEMPLATE).read_text(encoding="utf-8"))["Resources"]
    assert declared.keys() - stage.resources().keys() == {"Budget"}
    assert declared["Budget"]["Condition"] == "HasBudget"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_configured_as_declared(stage: Stage, name: str) -> None:
    function = stage.function(name)

    assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])
    assert (function["Timeout"], function["MemorySize"], function["EphemeralStorage"]) == (300, 1769, {"Size": 4096})
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert [layer["Arn"] for layer in function["Layers"]] == [stage.resources()["PythonRequirementsLambdaLayer"]]
    assert function["Role"] == stage.role(f"{name.title()}Role")


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("ingest", {"LANDING_BUCKET", "PROCESSED_BUCKET", "SOURCE_SECRET"}),
        ("transform", {"LANDING_BUCKET", "PROCESSED_BUCKET"}),
        ("load", {"PROCESSED_BUCKET", "WAREHOUSE_SECRET"}),
    ],
)
def test_function_knows_what_it_needs_and_no_more(stage: Stage, name: str, has: set[str]) -> None:
    resources = stage.resources()
    known = {
        "LANDING_BUCKET": stage.names.landing_bucket,
        "PROCESSED_BUCKET": stage.names.processed_bucket,
        "SOURCE_SECRET": resources["SourceSecret"],
        "WAREHOUSE_SECRET": resources["WarehouseSecret"],
    }
    environment = stage.function(name)["Environment"]["Variables"]
    own = {variable: value for variable, value in environment.items() if variable.startswith("TOTES_")}

    assert own == {f"TOTES_{variable}": known[variable] for variable in has}
    assert environment["POWERTOOLS_SERVICE_NAME"] == f"totes-{name}"


def test_layer_is_made_for_the_functions(stage: Stage) -> None:
    name, _, version = stage.resources()["PythonRequirementsLambdaLayer"].rpartition(":")
    layer = stage.client("lambda").get_layer_version(LayerName=name, VersionNumber=int(version))

    assert (layer["CompatibleRuntimes"], layer["CompatibleArchitectures"]) == (["python3.13"], ["arm64"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_log_group_keeps_for_a_month(stage: Stage, name: str) -> None:
    prefix = f"/aws/lambda/{stage.names.function(name)}"
    [group] = stage.client("logs").describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]

    assert (group["logGroupName"], group["retentionInDays"]) == (prefix, 30)


def test_machine_has_its_role_and_is_traced(stage: Stage) -> None:
    machine = stage.client("stepfunctions").describe_state_machine(stateMachineArn=stage.names.state_machine_arn)
    states = json.loads(machine["definition"])["States"]

    assert machine["roleArn"] == stage.role("MachineRole")
    assert machine["tracingConfiguration"] == {"enabled": True}
    assert [states[name.title()]["Parameters"]["FunctionName"] for name in FUNCTIONS] == [
        stage.names.function_arn(name) for name in FUNCTIONS
    ]
    assert states["NotifyFailure"]["Parameters"]["TopicArn"] == stage.names.topic_arn
    assert states["Failed"]["Parameters"]["FunctionName"] == stage.names.function_arn("fail")


def test_what_fails_executions_may_do_nothing_else(stage: Stage) -> None:
    function, role = stage.function("fail"), stage.resources()["FailRole"]
    rendered = json.loads((stage.packed / TEMPLATE).read_text(encoding="utf-8"))["Resources"]["FailRole"]["Properties"]
    [policy] = rendered["Policies"]
    iam = stage.client("iam")

    assert function["Role"] == stage.role("FailRole")
    assert not any(name.startswith("TOTES_") for name in function["Environment"]["Variables"])
    # Tracing depends on the stage.
    allowed = [statement.get("Fn::If", ["", statement])[1] for statement in policy["PolicyDocument"]["Statement"]]
    assert [statement["Sid"] for statement in allowed] == ["Log", "Trace"]
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == [policy["PolicyName"]]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
