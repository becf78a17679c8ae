"""A stage can be changed, rolled back and removed after its first deployment."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from tests.deploy.stage import SlsFailed, Stage
from totes.runtime.names import FUNCTIONS

OFTEN = "rate(1 minute)"
LAYERS = "serverless/totes/dev/code-artifacts/"
KEEPS_TEN, KEEPS_TWO = (f"maxPreviousDeploymentArtifacts: {count}" for count in (10, 2))
STAYS_IN_PROD = {"LandingBucket", "ProcessedBucket", "SourceSecret", "WarehouseSecret", "AlertsKey"}


def uploaded(stage: Stage) -> dict[str, datetime]:
    """Returns when each object of the deployment bucket was put, by its key."""
    bucket = stage.outputs()["ServerlessDeploymentBucketName"]
    found = stage.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    return {item["Key"]: item["LastModified"] for item in found}


def uploads(stage: Stage) -> dict[str, set[str]]:
    """Returns the names of the uploaded files by deployment, oldest first."""
    files: dict[str, set[str]] = {}
    for key in uploaded(stage).keys() - layers(stage).keys():
        deployment, _, file = key.rpartition("/")
        files.setdefault(deployment.rpartition("/")[2], set()).add(file)
    return files


def layers(stage: Stage) -> dict[str, datetime]:
    """Returns when each layer was uploaded, by its key."""
    return {key: put for key, put in uploaded(stage).items() if key.startswith(LAYERS)}


def test_change_is_deployed_and_rolled_back(stage: Stage) -> None:
    layer = stage.resources()["PythonRequirementsLambdaLayer"]
    before, kept = uploads(stage), layers(stage)
    assert len(kept) == 1

    stage.sls("deploy", f"--param=rate={OFTEN}")
    [changed] = uploads(stage).keys() - before.keys()
    assert stage.rate() == OFTEN
    assert stage.resources()["PythonRequirementsLambdaLayer"] == layer
    assert uploads(stage)[changed] == {
        "compiled-cloudformation-template.json",
        "serverless-state.json",
        "totes.zip",
    }
    assert layers(stage) == kept, "the layer is the same and should not have been uploaded again"

    stage.sls("rollback", "--timestamp", max(before).partition("-")[0])
    assert stage.rate() == "rate(5 minutes)"
    code = stage.client("lambda").get_function(FunctionName=stage.names.function("load"))["Code"]["Location"]
    assert max(before) in code


def contents_of_the_layer(stage: Stage) -> str:
    """Returns the hash of the current layer version's content."""
    name, version = stage.resources()["PythonRequirementsLambdaLayer"].split(":")[-2:]
    found = stage.client("lambda").get_layer_version(LayerName=name, VersionNumber=int(version))
    sha: str = found["Content"]["CodeSha256"]
    return sha


def missing_artifacts(stage: Stage) -> set[str]:
    """Returns the artifacts that the kept deployments' templates name and the bucket lacks."""
    s3, bucket, keys = stage.client("s3"), stage.outputs()["ServerlessDeploymentBucketName"], uploaded(stage).keys()
    templates = [key for key in keys if key.endswith("/compiled-cloudformation-template.json")]
    assert len(templates) > 1
    bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in templates]
    return {key for body in bodies for key in re.findall(r'"S3Key":"([^"]+)"', body)} - keys


def test_kept_deployment_is_rolled_back_to_after_the_layer_has_changed(stage: Stage) -> None:
    """A layer is older than the deployments that share it. It has to stay until the last of them is deleted."""
    layer = contents_of_the_layer(stage)
    with stage.edited("serverless.yml", lambda text: text.replace(KEEPS_TEN, KEEPS_TWO)):
        stage.sls("deploy", f"--param=rate={OFTEN}")
        kept = max(uploads(stage))
        # An empty layer is another one, and is built at once.
        with stage.edited("requirements.txt", lambda _: "\n"):
            stage.sls("deploy")
    assert len(uploads(stage)) == 2, "the deployment that first had the layer should be gone"
    assert contents_of_the_layer(stage) != layer
    assert missing_artifacts(stage) == set()

    stage.sls("rollback", "--timestamp", kept.partition("-")[0])
    assert stage.rate() == OFTEN
    assert contents_of_the_layer(stage) == layer


def test_removal_waits_for_empty_buckets_and_leaves_nothing(stage: Stage) -> None:
    landing = stage.names.landing_bucket
    stage.client("s3").put_object(Bucket=landing, Key="log/00000099.json", Body=b"{}", IfNoneMatch="*")
    with pytest.raises(SlsFailed, match="not empty"):
        stage.sls("remove")
    assert stage.client("s3").list_object_versions(Bucket=landing)["Versions"]

    stage.empty_lake()
    stage.sls("remove")
    assert stage.client("s3").list_buckets()["Buckets"] == []
    assert stage.client("lambda").list_functions()["Functions"] == []
    assert stage.client("stepfunctions").list_state_machines()["stateMachines"] == []
    assert stage.client("secretsmanager").list_secrets()["SecretList"] == []
    assert stage.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert stage.client("cloudwatch").list_dashboards()["DashboardEntries"] == []
    assert stage.client("glue").get_databases()["DatabaseList"] == []
    assert stage.client("logs").describe_log_groups()["logGroups"] == []
    assert stage.client("iam").list_roles()["Roles"] == []

    stage.sls("deploy")
    assert stage.rate() == "rate(5 minutes)"


def test_prod_keeps_its_data_when_it_is_removed(stage: Stage, tmp_path: Path) -> None:
    stage.sls("package", "--package", str(tmp_path), stage="prod")
    template = json.loads((tmp_path / "cloudformation-template-update-stack.json").read_text(encoding="utf-8"))

    kept = {
        name
        for name, resource in template["Resources"].items()
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate"
    }
    assert kept == STAYS_IN_PROD
    assert {template["Resources"][name]["UpdateReplacePolicy"] for name in kept} == {"Retain"}
    assert template["Resources"]["LoadLogGroup"]["Properties"]["RetentionInDays"] == 180
    assert template["Conditions"]["HasBudget"] == {"Fn::Not": [{"Fn::Equals": ["30", "0"]}]}


def test_stage_without_tracing_traces_nothing_and_may_not(stage: Stage, tmp_path: Path) -> None:
    stage.sls("package", "--package", str(tmp_path), "--param=tracing=false")
    template = json.loads((tmp_path / "cloudformation-template-update-stack.json").read_text(encoding="utf-8"))
    resources = template["Resources"]
    functions = [found for found in resources.values() if found["Type"] == "AWS::Lambda::Function"]
    policies = [found["Properties"]["Policies"] for found in resources.values() if found["Type"] == "AWS::IAM::Role"]

    assert len(functions) == len(FUNCTIONS)
    assert template["Conditions"]["HasTracing"] == {"Fn::Equals": ["false", "true"]}
    assert resources["PipelineStateMachine"]["Properties"]["TracingConfiguration"] == {"Enabled": False}
    assert [function["Properties"].get("TracingConfig") for function in functions] == [None] * len(functions)
    disabled = [
        function["Properties"]["Environment"]["Variables"]["POWERTOOLS_TRACE_DISABLED"] for function in functions
    ]
    assert disabled == [{"Fn::If": ["HasTracing", "false", "true"]}] * len(functions)
    allowed = [statement for policy in policies for statement in policy[0]["PolicyDocument"]["Statement"]]
    # A statement counts as absent if its condition does not hold.
    assert not any("xray:" in str(statement) for statement in allowed if "Fn::If" not in statement)
    conditions = {statement["Fn::If"][0] for statement in allowed if "xray:" in str(statement)}
    assert conditions == {"HasTracing"}
