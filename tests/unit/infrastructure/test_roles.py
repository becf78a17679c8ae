"""Every action that a role allows is used by the code, and every call that the code makes is allowed."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest

from functions import fail
from local.aws.deployment import BACKFILL, ROOT, STATE_MACHINE
from tests.conftest import MakesPipelines
from tests.support import s3_wire
from tests.support.cold import forget_logs
from tests.support.pipeline import Pipeline
from tests.unit.infrastructure.deploy_role import types_of
from tests.unit.infrastructure.template import DEV, LOGINS, Call, Statement, Template
from totes.alerts.failure import Caught, Zones, decision_on, failure_of
from totes.alerts.repeats import Intervals
from totes.alerts.watch import age, tell
from totes.backfill import Backfill
from totes.contracts.declarations import source_tables
from totes.contracts.requests import BackfillRequest, Request
from totes.ingest import ingest
from totes.load import load
from totes.runtime.names import FUNCTIONS, STAGES, Names
from totes.runtime.settings import (
    BackfillSettings,
    IngestSettings,
    LoadSettings,
    TransformSettings,
    WatchSettings,
    read_settings,
)
from totes.source.backfill_plan import Range
from totes.transform import prepare, transform
from totes.verify.doctor.inside import EXAMINED, examine

TEMPLATE = Template()
# BackfillRole belongs to the state machine.
ROLE_OF = {name: "BackfillFunctionRole" if name == "backfill" else f"{name.title()}Role" for name in FUNCTIONS}
ROLES = (*ROLE_OF.values(), "MachineRole", "BackfillRole", "ScheduleRole")
# The documents use these names.
DOCUMENTED = Template(Names("<stage>", "<account>", "<region>"))
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
EXECUTION = f"arn:aws:states:{DEV.region}:{DEV.account}:execution:{DEV.state_machine}:test"
REDRIVEN = {
    "failure": {"Error": "LogBroken", "Cause": {"errorMessage": "A gap."}},
    "caught": "2026-11-24T09:00:00.123Z",
    "context": {"Id": EXECUTION, "RedriveTime": "2026-11-24T10:00:00Z"},
}
DELETION = "DELETE FROM payment WHERE payment_id = (SELECT min(payment_id) FROM payment)"
POISON = "UPDATE design SET last_updated = 'infinity' WHERE design_id = 1"
CURE = "UPDATE design SET last_updated = created_at WHERE design_id = 1"
ENVIRONMENT = {
    "TOTES_LANDING_BUCKET": DEV.landing_bucket,
    "TOTES_PROCESSED_BUCKET": DEV.processed_bucket,
    "TOTES_SOURCE_SECRET": DEV.source_secret,
    "TOTES_WAREHOUSE_SECRET": DEV.warehouse_secret,
}
# The rights of a machine that logs, by the Step Functions guide, "Using CloudWatch Logs to log execution history".
LOG_DELIVERY = (
    *("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries"),
    *("PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"),
)
Calls = Mapping[str, set[Call]]
_OBJECT_ACTION = {"PutObject": "s3:PutObject", "GetObject": "s3:GetObject", "HeadObject": "s3:GetObject"}


def secret(name: str) -> str:
    return f"arn:aws:secretsmanager:{DEV.region}:{DEV.account}:secret:{name}-XXXXXX"


def called(operation: str, parameters: dict[str, Any]) -> Call:
    """Returns the rights that IAM checks for an operation. A new operation is a KeyError on purpose."""
    if operation == "GetSecretValue":
        login = re.search(r":secret:rds!db-(\w+)-", parameters["SecretId"])
        return Call(
            "secretsmanager:GetSecretValue",
            LOGINS[f"TOTES_{login[1].upper()}_LOGIN"] if login else secret(parameters["SecretId"]),
        )
    if operation == "ListExecutions":
        return Call("states:ListExecutions", parameters["stateMachineArn"])
    if operation in ("DescribeExecution", "GetExecutionHistory"):
        return Call(f"states:{operation}", parameters["executionArn"])
    if operation == "Publish":
        return Call("sns:Publish", parameters["TopicArn"])
    raise KeyError(operation)


def sent(request: s3_wire.Request) -> Call:
    """Returns the rights that IAM checks for a request to S3. A new operation is a KeyError on purpose."""
    bucket, _, key = request.path[1:].partition("/")
    if request.operation == "ListObjectsV2":
        (prefix,) = parse_qs(request.query)["prefix"]
        return Call("s3:ListBucket", f"arn:aws:s3:::{bucket}", prefix)
    return Call(_OBJECT_ACTION[request.operation], f"arn:aws:s3:::{bucket}/{key}")


def by_the_platform(function: str) -> set[Call]:
    """Returns Lambda's calls with the rights of a function: its log, and the traces that its daemon sends."""
    group = f"arn:aws:logs:{DEV.region}:{DEV.account}:log-group:/aws/lambda/{DEV.function(function)}"
    return {
        Call("logs:CreateLogStream", f"{group}:log-stream:one"),
        Call("logs:PutLogEvents", f"{group}:log-stream:one"),
        Call("xray:PutTraceSegments", "*"),
        Call("xray:PutTelemetryRecords", "*"),
    }


def to_encrypt_alerts() -> set[Call]:
    """Returns SNS's calls with the rights of the role that publishes to the topic."""
    (key,) = {topic["KmsMasterKeyId"]["Ref"] for topic in TEMPLATE.of_type("AWS::SNS::Topic").values()}
    arn = TEMPLATE.text({"Fn::GetAtt": [key, "Arn"]})
    return {Call("kms:GenerateDataKey", arn), Call("kms:Decrypt", arn)}


def tasks(states: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the parameters of all tasks, including those within Maps."""
    for state in states.values():
        if state["Type"] == "Task":
            yield state["Parameters"]
        yield from tasks(state.get("ItemProcessor", {}).get("States", {}))


def by_the_backfill() -> set[Call]:
    """Returns Step Functions' calls with the rights of a backfill; for a Map, as AWS documents them."""
    executions = f"arn:aws:states:{DEV.region}:{DEV.account}:execution:{DEV.backfill}"
    parts = (f"{executions}:1", f"{executions}/Facts:1")
    definition = json.loads(BACKFILL.read_text(encoding="utf-8"))
    lists = {state["ItemReader"]["Resource"] for state in definition["States"].values() if "ItemReader" in state}
    assert lists == {"arn:aws:states:::s3:getObject"}
    return by_a_machine(definition) | {
        # A backfill that began before it had a function of its own makes this call.
        Call("lambda:InvokeFunction", DEV.function_arn("ingest")),
        Call("states:StartExecution", DEV.backfill_arn),
        *(Call(f"states:{action}", part) for action in ("DescribeExecution", "StopExecution") for part in parts),
        Call("states:RedriveExecution", parts[1]),
        Call("s3:GetObject", f"arn:aws:s3:::{DEV.landing_bucket}/backfill/one/facts.json"),
    }


def by_the_machine() -> set[Call]:
    """Returns Step Functions' calls with the rights of the pipeline."""
    return by_a_machine(json.loads(STATE_MACHINE.read_text(encoding="utf-8"))) | to_encrypt_alerts()


def by_a_machine(definition: Mapping[str, Any]) -> set[Call]:
    """Returns Step Functions' calls with the rights of a state machine, read from its definition."""
    targets = list(tasks(definition["States"]))
    functions = {re.sub(r"^#\{(.*)\}$", r"${\1}", task["FunctionName"]) for task in targets if "FunctionName" in task}
    topics = {re.sub(r"^#\{(.*)\}$", r"${\1}", task["TopicArn"]) for task in targets if "TopicArn" in task}
    tracing = ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets")
    return {
        *(Call("lambda:InvokeFunction", TEMPLATE.text({"Fn::Sub": function})) for function in functions),
        *(Call("sns:Publish", TEMPLATE.text({"Fn::Sub": topic})) for topic in topics),
        *(Call(f"xray:{action}", "*") for action in tracing),
        *(Call(f"logs:{action}", "*") for action in LOG_DELIVERY),
    }


@pytest.fixture(scope="module")
def calls(pipelines: MakesPipelines, seeded_totesys: str) -> Calls:
    """Returns the calls of each role; the functions' calls are recorded in three runs."""
    with pipelines(seeded_totesys) as pipeline, pytest.MonkeyPatch.context() as patch:
        deploy(pipeline)
        declared = {name: replace(table, quarantine=name == "design") for name, table in source_tables().items()}
        for module in ("source.changes", "source.snapshot"):
            patch.setattr(f"totes.{module}.source_tables", lambda: declared)
        patch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(region_name=DEV.region))
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        made = {
            ROLE_OF[name]: found | by_the_platform(name)
            for name, found in record(boto3.DEFAULT_SESSION, pipeline).items()
        }
    # Lambda sends this with the function's rights if the function fails.
    queue = TEMPLATE.text({"Fn::GetAtt": ["MissedEnds", "Arn"]})
    # Secrets Manager calls this with the function's rights if the login has a key of its own.
    for role in ("IngestRole", "BackfillFunctionRole"):
        made[role].add(Call("kms:Decrypt", LOGINS["TOTES_SOURCE_LOGIN_KEY"]))
    made["LoadRole"].add(Call("kms:Decrypt", LOGINS["TOTES_WAREHOUSE_LOGIN_KEY"]))
    made["WatchRole"] |= to_encrypt_alerts() | {Call("sqs:SendMessage", queue)}
    return {
        **made,
        "MachineRole": by_the_machine(),
        "BackfillRole": by_the_backfill(),
        "ScheduleRole": {Call("states:StartExecution", DEV.state_machine_arn)},
    }


def deploy(pipeline: Pipeline) -> None:
    """Gives buckets and secrets the names of a stage."""
    for bucket in (DEV.landing_bucket, DEV.processed_bucket):
        pipeline.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": DEV.region})
    secrets = boto3.client("secretsmanager", region_name=DEV.region)
    for which, name in (("source", DEV.source_secret), ("warehouse", DEV.warehouse_secret)):
        found = json.loads(secrets.get_secret_value(SecretId=f"{pipeline.name}/{which}")["SecretString"])
        login = {part: found.pop(part) for part in ("username", "password")}
        arn = secrets.create_secret(Name=f"rds!db-{which}", SecretString=json.dumps(login))["ARN"]
        secrets.create_secret(Name=name, SecretString=json.dumps(found | {"secret": arn}))
    boto3.client("sns", region_name=DEV.region).create_topic(Name=DEV.topic)
    machine = boto3.client("stepfunctions", region_name=DEV.region)
    definition = '{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}'
    role = f"arn:aws:iam::{DEV.account}:role/any"
    machine.create_state_machine(name=DEV.state_machine, definition=definition, roleArn=role)
    machine.start_execution(stateMachineArn=DEV.state_machine_arn, name="test")
    machine.stop_execution(executionArn=EXECUTION)


def record(session: boto3.Session, pipeline: Pipeline) -> Calls:
    """Runs the three stages and records each one's calls of AWS.

    On full tables, after a deletion and with a row to quarantine, and with nothing new; then each stage examines
    itself.
    """
    made: dict[str, set[Call]] = defaultdict(set)
    running = ""

    def note(params: dict[str, Any], model: Any, **_: object) -> None:
        if model.service_model.service_name != "s3":
            made[running].add(called(model.name, params))

    def hear(request: s3_wire.Request, send: s3_wire.Send) -> s3_wire.Answer | None:
        made[running].add(sent(request))
        answer = send()
        if answer and answer.status == HTTPStatus.NOT_FOUND:
            # S3 answers 404 only to a caller that may list the bucket, and a GET has no prefix; any other caller gets
            # 403.
            made[running].add(Call("s3:ListBucket", f"arn:aws:s3:::{request.path[1:].partition('/')[0]}"))
        return answer

    session.events.register("provide-client-params", note)
    with s3_wire.heard_by(hear):
        for changes in ((), (DELETION, POISON), ()):
            for change in changes:
                pipeline.totesys(change)
            for running, stage in stages().items():  # noqa: B007  the hook reads it
                stage()
        for running in EXAMINED:
            assert {found["level"] for found in examine(running, {"doctor": True})["findings"]} <= {"ok", "warning"}
        pipeline.totesys(CURE)
        running = "backfill"
        for running, step in steps():  # noqa: B007  the hook reads it
            step()
        # A backfill that began before it had a function of its own calls ingest.
        made["ingest"] |= made["backfill"]
        for running, reporter in reporters().items():
            made[running] = set()
            # Each is a process of its own, which may be cold.
            forget_logs()
            reporter()
    return made


def steps() -> Iterator[tuple[str, Callable[[], object]]]:
    """Runs a backfill step by step, each with its function."""
    backfill = Backfill(BackfillSettings(DEV.landing_bucket, DEV.source_secret), EXECUTION)
    yield "backfill", lambda: backfill.plan(BackfillRequest(rows=500, concurrency=1))
    ranges = [Range(**part) for which in ("dimensions", "facts") for part in listed(which)]
    yield from (("backfill", partial(backfill.read, part)) for part in ranges)
    yield "backfill", backfill.land
    settings = TransformSettings(DEV.landing_bucket, DEV.processed_bucket)
    yield from (("transform", partial(prepare, settings, batch)) for batch in listed("batches"))
    yield "transform", lambda: transform(settings, Request(EXECUTION))


def listed(which: str) -> list[Any]:
    """Returns the list that a backfill has written for a Map."""
    s3 = boto3.client("s3", region_name=DEV.region, config=s3_wire.OF_THE_TEST)
    key = f"backfill/{EXECUTION.rpartition(':')[2]}/{which}.json"
    return list(json.load(s3.get_object(Bucket=DEV.landing_bucket, Key=key)["Body"]))


def reporters() -> dict[str, Callable[[], object]]:
    settings = WatchSettings(DEV.landing_bucket, DEV.processed_bucket, "docs", "1h,24h", "false", DEV.topic_arn)
    zones = Zones(DEV.landing_bucket, DEV.processed_bucket)
    return {
        "report": lambda: decision_on(
            failure_of(EXECUTION, zones, "docs", Caught("Load", "WarehouseBusy", "Locked.")), Intervals.parse("1h,24h")
        ),
        "fail": lambda: fail.handler(REDRIVEN, None),
        "watch": lambda: (tell(EXECUTION, "ABORTED", settings), age(EXECUTION)),
    }


def stages() -> dict[str, Callable[[], object]]:
    request = Request(EXECUTION, ())
    return {
        "ingest": lambda: ingest(read_settings(IngestSettings), request),
        "transform": lambda: transform(read_settings(TransformSettings), request),
        "load": lambda: load(read_settings(LoadSettings), request),
    }


@pytest.mark.parametrize("role", ROLES)
def test_every_call_is_allowed(role: str, calls: Calls) -> None:
    statements = TEMPLATE.statements(role)
    refused = {call for call in calls[role] if not any(statement.allows(call) for statement in statements)}
    assert refused == set(), f"{role} in resources/roles.yml does not allow what the code does"


@pytest.mark.parametrize("role", ROLES)
def test_everything_allowed_is_used(role: str, calls: Calls) -> None:
    parts = [part for statement in TEMPLATE.statements(role) for part in statement.parts()]
    unused = [part for part in parts if not any(part.allows(call) for call in calls[role])]
    assert unused == [], f"{role} in resources/roles.yml allows what no code does"


@pytest.mark.parametrize("role", ROLES)
def test_nothing_but_traces_and_delivery_of_logs_is_allowed_everywhere(role: str) -> None:
    statements = TEMPLATE.statements(role)
    assert not any("*" in action for statement in statements for action in statement.actions)
    everywhere = {action for statement in statements for action in statement.actions if "*" in statement.resources}
    assert [action for action in everywhere if types_of(action)] == [], "AWS takes a resource for these"
    delivering = {action for action in everywhere if not action.startswith("xray:")}
    logging = {f"logs:{action}" for action in LOG_DELIVERY} if role in ("MachineRole", "BackfillRole") else set()
    assert delivering == logging


@pytest.mark.parametrize("role", ROLES)
def test_role_may_send_traces_only_where_the_stage_is_traced(role: str) -> None:
    documents = [policy["PolicyDocument"] for policy in TEMPLATE.resources[role]["Properties"]["Policies"]]
    for statement in (statement for document in documents for statement in document["Statement"]):
        if "xray:" in str(statement):
            condition, _, otherwise = statement["Fn::If"]
            assert (condition, otherwise) == ("HasTracing", {"Ref": "AWS::NoValue"})


@pytest.mark.parametrize(
    ("role", "call"),
    [
        ("IngestRole", Call("s3:GetObject", f"arn:aws:s3:::{DEV.landing_bucket}/data/staff/1.parquet")),
        ("IngestRole", Call("s3:PutObject", f"arn:aws:s3:::{DEV.processed_bucket}/log/00000001.json")),
        ("IngestRole", Call("s3:ListBucket", f"arn:aws:s3:::{DEV.landing_bucket}", "data/")),
        ("IngestRole", Call("secretsmanager:GetSecretValue", secret(DEV.warehouse_secret))),
        ("BackfillFunctionRole", Call("s3:GetObject", f"arn:aws:s3:::{DEV.landing_bucket}/data/staff/1.parquet")),
        ("BackfillFunctionRole", Call("s3:GetObject", f"arn:aws:s3:::{DEV.processed_bucket}/log/00000001.json")),
        ("BackfillFunctionRole", Call("secretsmanager:GetSecretValue", secret(DEV.warehouse_secret))),
        ("TransformRole", Call("s3:PutObject", f"arn:aws:s3:::{DEV.landing_bucket}/data/staff/1.parquet")),
        ("TransformRole", Call("s3:GetObject", f"arn:aws:s3:::{DEV.landing_bucket}/keys/staff/1.parquet")),
        ("LoadRole", Call("s3:GetObject", f"arn:aws:s3:::{DEV.landing_bucket}/data/staff/1.parquet")),
        ("LoadRole", Call("s3:PutObject", f"arn:aws:s3:::{DEV.processed_bucket}/log/00000001.json")),
        ("LoadRole", Call("secretsmanager:GetSecretValue", secret(DEV.source_secret))),
        ("LoadRole", Call("secretsmanager:GetSecretValue", secret("totes/prod/warehouse"))),
        (
            "MachineRole",
            Call("lambda:InvokeFunction", "arn:aws:lambda:eu-west-2:123456789012:function:totes-prod-load"),
        ),
        ("ScheduleRole", Call("states:StartExecution", DEV.state_machine_arn.replace("dev", "prod"))),
    ],
)
def test_what_belongs_to_another_is_refused(role: str, call: Call) -> None:
    assert [statement.sid for statement in TEMPLATE.statements(role) if statement.allows(call)] == []


def test_roles_are_all_known_here() -> None:
    assert TEMPLATE.of_type("AWS::IAM::Role").keys() == set(ROLES)


@pytest.mark.parametrize(
    ("role", "principal"),
    [
        *((role, "lambda.amazonaws.com") for role in ROLE_OF.values()),
        ("MachineRole", "states.amazonaws.com"),
        ("BackfillRole", "states.amazonaws.com"),
        ("ScheduleRole", "events.amazonaws.com"),
    ],
)
def test_role_is_for_one_service_only(role: str, principal: str) -> None:
    properties = TEMPLATE.resources[role]["Properties"]
    (trust,) = properties["AssumeRolePolicyDocument"]["Statement"]
    assert (trust["Principal"], trust["Action"]) == ({"Service": principal}, "sts:AssumeRole")
    # The only policy of AWS's own: with it, Lambda puts a function into a VPC.
    managed = properties.get("ManagedPolicyArns", {"Fn::If": ["HasVpc", []]})
    condition, in_vpc, *_ = managed["Fn::If"]
    assert condition == "HasVpc"
    # Functions that only call AWS stay outside.
    assert bool(in_vpc) == (role in [ROLE_OF[name] for name in (*map(str.lower, STAGES), "backfill")])
    assert all(TEMPLATE.text(arn).endswith("/service-role/AWSLambdaENIManagementAccess") for arn in in_vpc)


def shown(statement: Statement) -> tuple[str, str, str]:
    """Returns a statement's name, actions and resources, as the table in docs/architecture.md has them."""
    limits = [f"{'prefix, if any,' if statement.if_exists else 'prefix'} `{prefix}`" for prefix in statement.prefixes]
    variables = {arn: name for name, arn in LOGINS.items()}
    tails = [f"`{variables.get(resource, resource.split(':', 5)[-1])}`" for resource in statement.resources]
    return (
        statement.sid,
        ", ".join(f"`{action}`" for action in statement.actions),
        ", ".join(tails + limits).replace("-XXXXXX", ""),
    )


@pytest.mark.parametrize("role", ROLES)
def test_architecture_says_who_may_do_what_and_why(role: str) -> None:
    section = ARCHITECTURE.partition(f"\n### {role}\n")[2].partition("\n#")[0]
    rows = [tuple(line.strip("| ").split(" | ")) for line in section.splitlines() if line.startswith("| ")][2:]
    assert [row[:3] for row in rows] == [shown(statement) for statement in DOCUMENTED.statements(role)]
    assert all(len(row) == 4 and row[3].endswith(".") for row in rows), "each row ends with a reason"
