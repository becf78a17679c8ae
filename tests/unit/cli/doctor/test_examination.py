"""The findings of `totes doctor` from outside: of a healthy stage, and each one provoked."""

import ast
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from cli.doctor.examination import CHECKS, examine
from cli.main import main
from local.aws.deployment import ROOT
from tests.support.answering_aws import ADDRESS, NAMES, NOW, VERSION, AnsweringAws, execution, payload, refusal
from tests.support.manual import documented_actions
from tests.unit.totes.verify.doctor.test_inside import JUDGED
from tests.unit.totes.verify.doctor.test_inside import PROVOKED as PROVOKED_INSIDE
from totes.verify.doctor.findings import Finding, Level

Damage = Callable[[AnsweringAws], object]
LAMBDA = "Lambda was throttled."
PASSWORD = "hunter2-hunter2"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> AnsweringAws:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", NAMES.region)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return AnsweringAws(monkeypatch)


def wrong(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


def test_nothing_is_found_where_all_is_well(aws: AnsweringAws) -> None:
    found = examine(NAMES)
    assert wrong(found) == []
    assert {finding.remedy for finding in found} == {""}
    outside = [finding.code for finding in found if not finding.area.startswith("From inside")]
    assert outside == [
        *(
            "stack",
            "functions",
            "logs",
            "schedule",
            "rules",
            "execution",
            "subscription",
            "alarms",
            "queues",
            "metrics",
        ),
        *("secret-filled", "secret-filled", "bucket", "bucket", "code"),
    ]
    assert list(dict.fromkeys(finding.area for finding in found)) == [
        *dict.fromkeys(check.area for check in CHECKS),
        *(f"From inside {NAMES.function(name)}" for name in ("ingest", "transform", "load")),
    ]


def changed(operation: str, **fields: Any) -> Damage:
    """Changes fields of an operation's answer."""
    return lambda aws: aws.change(operation, lambda answer, _: answer | fields)


def changed_of(operation: str, parameter: str, value: str, **fields: Any) -> Damage:
    """Changes fields of an operation's answer about one resource."""
    return lambda aws: aws.change(
        operation, lambda answer, given: answer | fields if given[parameter] == value else answer
    )


def refused(operation: str, code: str, message: str = "No.") -> Damage:
    return lambda aws: aws.refuse(operation, code, message)


def stack(status: str) -> Damage:
    return changed("DescribeStacks", Stacks=[{"StackName": "totes-prod", "CreationTime": NOW, "StackStatus": status}])


def function(**fields: Any) -> Damage:
    return changed_of("GetFunctionConfiguration", "FunctionName", NAMES.function("load"), **fields)


def subscriptions(*arns: str, email: bool = True) -> Damage:
    def damage(aws: AnsweringAws) -> None:
        found = [{"SubscriptionArn": arn, "Protocol": "email", "Endpoint": ADDRESS} for arn in arns]
        aws.change("ListSubscriptionsByTopic", lambda *_: {"Subscriptions": found})
        if not email:
            aws.refuse("DescribeStackResource", "ValidationError")

    return damage


def alarm(which: str, **fields: Any) -> Damage:
    def change(answer: dict[str, Any], _: object) -> dict[str, Any]:
        name = f"totes-prod-{which}"
        alarms = [found | fields if found["AlarmName"] == name else found for found in answer["MetricAlarms"]]
        return {"MetricAlarms": alarms}

    return lambda aws: aws.change("DescribeAlarms", change)


def without_schedule(aws: AnsweringAws) -> None:
    missing = refusal("DescribeRule", "ResourceNotFoundException", "Rule does not exist.")
    aws.change("DescribeRule", lambda answer, given: missing if given["Name"] == NAMES.rule else answer)


def without_targets(aws: AnsweringAws) -> None:
    aws.change("ListTargetsByRule", lambda answer, given: {} if given["Rule"] == NAMES.ended_rule else answer)


def without_alarm(aws: AnsweringAws) -> None:
    aws.change("DescribeAlarms", lambda answer, _: {"MetricAlarms": answer["MetricAlarms"][1:]})


def executions(*found: dict[str, Any], describing: dict[str, Any] | None = None) -> Damage:
    def listed(_: object, given: dict[str, Any]) -> dict[str, Any]:
        status = given.get("statusFilter")
        fitting = [each for each in found if status in (None, each["status"])]
        return {"executions": fitting[: given["maxResults"]]}

    def damage(aws: AnsweringAws) -> None:
        aws.change("ListExecutions", listed)
        aws.change("DescribeExecution", lambda answer, _: answer | (describing or {}))

    return damage


def failure(error: str, cause: str) -> Damage:
    described = {"status": "FAILED", "error": error, "cause": cause}
    return executions(execution("FAILED"), execution(started=NOW - timedelta(minutes=7)), describing=described)


def lambda_answers(document: object) -> Damage:
    return lambda aws: aws.change("Invoke", lambda *_: payload(document))


def raises(operation: str, error: Exception) -> Damage:
    return lambda aws: aws.change(operation, lambda *_: error)


TWO_MINUTES, HOURS = timedelta(minutes=2), timedelta(hours=2)
PAUSED = "Starts. [Paused 2026-11-30 03:00 UTC: the warehouse moves]"
LABELLED = json.dumps({"errorMessage": "totesys has no table x.\nRemedy: Create the table x.", "errorType": "any"})
UNAUTHORIZED = "User: me is not authorized to perform: {} on resource: it because no identity-based policy allows it"
DENIED = "AccessDeniedException"
INVALID = "ValidationError"

# By code and level: the finding, its remedy, and how the test provokes it.
PROVOKED: list[tuple[str, str, str, str, Damage]] = [
    (
        "stack-missing",
        "failed",
        "no stack totes-prod",
        "npx sls deploy --stage prod",
        refused("DescribeStacks", INVALID),
    ),
    ("stack-changes", "warning", "UPDATE_IN_PROGRESS", "when the deployment is over", stack("UPDATE_IN_PROGRESS")),
    (
        "stack-undone",
        "warning",
        "was rolled back",
        "describe-stack-events --stack-name totes-prod",
        stack("UPDATE_ROLLBACK_COMPLETE"),
    ),
    ("stack-broken", "failed", "UPDATE_ROLLBACK_FAILED", "describe-stack-events", stack("UPDATE_ROLLBACK_FAILED")),
    (
        "function-broken",
        "failed",
        "InvalidSubnet",
        "npx sls deploy",
        function(State="Failed", StateReason="InvalidSubnet"),
    ),
    ("function-broken", "failed", "or updated", "npx sls deploy", function(LastUpdateStatus="Failed")),
    ("function-not-ready", "warning", "totes-prod-load", "Try again", function(State="Pending")),
    ("function-not-ready", "warning", "totes-prod-load", "Try again", function(LastUpdateStatus="InProgress")),
    ("runtime-differs", "warning", "python3.12", "npx sls deploy", function(Runtime="python3.12")),
    ("layer-missing", "failed", "lacks the layer totes-prod-dependencies", "npx sls deploy", function(Layers=[])),
    (
        "layers-differ",
        "failed",
        "different versions",
        "npx sls deploy",
        function(Layers=[{"Arn": "x:layer:totes-prod-dependencies:6"}]),
    ),
    (
        "logs-missing",
        "failed",
        "no log group /aws/",
        "npx sls deploy",
        lambda aws: aws.change("DescribeLogGroups", lambda answer, _: {"logGroups": answer["logGroups"][1:]}),
    ),
    (
        "logs-kept-forever",
        "warning",
        "never deleted",
        "npx sls deploy",
        lambda aws: aws.change(
            "DescribeLogGroups",
            lambda answer, _: {"logGroups": [{"logGroupName": group["logGroupName"]} for group in answer["logGroups"]]},
        ),
    ),
    (
        "schedule-missing",
        "failed",
        "totes-prod-schedule",
        "npx sls deploy",
        without_schedule,
    ),
    (
        "schedule-paused",
        "warning",
        "since 2026-11-30 03:00 UTC: the warehouse moves",
        "totes --stage prod resume",
        changed_of("DescribeRule", "Name", NAMES.rule, State="DISABLED", Description=PAUSED),
    ),
    (
        "schedule-disabled",
        "warning",
        "not by `totes pause`",
        "totes --stage prod resume",
        changed_of("DescribeRule", "Name", NAMES.rule, State="DISABLED"),
    ),
    (
        "rule-without-target",
        "failed",
        "totes-prod-ended has no target",
        "npx sls deploy",
        without_targets,
    ),
    (
        "rule-disabled",
        "failed",
        "totes-prod-backfill-ended is disabled",
        "aws events enable-rule --name totes-prod-backfill-ended",
        changed_of("DescribeRule", "Name", NAMES.backfill_ended_rule, State="DISABLED"),
    ),
    ("execution-none", "warning", "No execution", "totes --stage prod run", executions()),
    ("execution-none", "warning", "No execution", "totes --stage prod run", executions(execution("RUNNING"))),
    ("execution-aborted", "warning", "Somebody stopped", "StopExecution", executions(execution("ABORTED"))),
    (
        "execution-failed",
        "failed",
        "LogBroken: totesys has no table x.",
        "Create the table x. `totes --stage prod explain`",
        failure("LogBroken", LABELLED),
    ),
    (
        "execution-failed",
        "failed",
        "with Sandbox.Timedout",
        "give the function more time",
        failure("Sandbox.Timedout", ""),
    ),
    (
        "execution-failed",
        "failed",
        "one, TIMED_OUT: The whole execution ran out of time.",
        "how long each batch takes.",
        executions(execution("TIMED_OUT"), execution(started=NOW - timedelta(minutes=7))),
    ),
    ("stale", "failed", "started 2 h", "totes --stage prod status", executions(execution(started=NOW - HOURS))),
    (
        "subscription-pending",
        "warning",
        f"{ADDRESS} has not confirmed",
        "Subscription Confirmation",
        subscriptions("PendingConfirmation"),
    ),
    ("subscription-gone", "failed", "but no subscription", "aws sns subscribe --topic-arn", subscriptions()),
    ("subscription-gone", "failed", "but no subscription", "aws sns subscribe --topic-arn", subscriptions("Deleted")),
    ("subscription-none", "warning", "Nobody gets the alerts", "TOTES_ALERT_EMAIL=", subscriptions(email=False)),
    ("alarm-missing", "failed", "no alarm totes-prod-", "npx sls deploy", without_alarm),
    (
        "alarm",
        "failed",
        "totes-prod-freshness has been going off",
        "It means this.",
        alarm("freshness", StateValue="ALARM", StateTransitionedTimestamp=NOW),
    ),
    (
        "alarm-since-success",
        "warning",
        "but an execution that started later has succeeded",
        "It means this.",
        alarm("warnings", StateValue="ALARM"),
    ),
    (
        "alarm-without-data",
        "warning",
        "totes-prod-watch has had no data",
        "deploy again",
        alarm("watch", StateValue="INSUFFICIENT_DATA"),
    ),
    (
        "alarm-muted",
        "warning",
        "alerts nobody",
        "aws cloudwatch enable-alarm-actions --alarm-names totes-prod-watch",
        alarm("watch", ActionsEnabled=False),
    ),
    (
        "queue-not-empty",
        "warning",
        "totes-prod-missed-ends has 3 undelivered events",
        "aws sqs purge-queue --queue-url https://",
        lambda aws: aws.change(
            "GetQueueAttributes",
            lambda _, given: {
                "Attributes": {"ApproximateNumberOfMessages": "3" if "ends" in given["QueueUrl"] else "0"}
            },
        ),
    ),
    (
        "metrics-missing",
        "failed",
        "no Freshness for three hours",
        "aws logs tail /aws/lambda/totes-prod-watch",
        changed("ListMetrics", Metrics=[]),
    ),
    (
        "secret-empty",
        "failed",
        "totes/prod/source has no value",
        "totes --stage prod secret source --host",
        changed_of("DescribeSecret", "SecretId", NAMES.source_secret, VersionIdsToStages={}),
    ),
    (
        "secret-empty",
        "failed",
        "totes/prod/warehouse has no value",
        "secret warehouse",
        changed_of("DescribeSecret", "SecretId", NAMES.warehouse_secret, VersionIdsToStages={VERSION: ["AWSPENDING"]}),
    ),
    (
        "secret-deleted",
        "failed",
        "scheduled for deletion",
        "restore-secret --secret-id totes/prod/source",
        changed_of("DescribeSecret", "SecretId", NAMES.source_secret, DeletedDate=NOW),
    ),
    (
        "bucket-changed",
        "failed",
        "its encryption",
        "npx sls deploy",
        refused("GetBucketEncryption", "ServerSideEncryptionConfigurationNotFoundError"),
    ),
    (
        "bucket-changed",
        "failed",
        "its public access block",
        "npx sls deploy",
        refused("GetPublicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
    ),
    (
        "bucket-changed",
        "failed",
        "its public access block",
        "npx sls deploy",
        changed("GetPublicAccessBlock", PublicAccessBlockConfiguration={"BlockPublicAcls": True}),
    ),
    (
        "bucket-changed",
        "failed",
        "its versioning",
        "npx sls deploy",
        changed("GetBucketVersioning", Status="Suspended"),
    ),
    (
        "bucket-changed",
        "failed",
        "its life cycle",
        "npx sls deploy",
        changed("GetBucketLifecycleConfiguration", Rules=[]),
    ),
    ("bucket-changed", "failed", "its policy", "npx sls deploy", refused("GetBucketPolicy", "NoSuchBucketPolicy")),
    (
        "code-differs",
        "warning",
        "run different code",
        "Deploy this checkout",
        lambda_answers({"code": "0a1b2c", "findings": []}),
    ),
    (
        "function-old",
        "failed",
        "`totes doctor` can't check",
        "npx sls deploy",
        lambda_answers({"errorType": "InputRefused", "errorMessage": "The function's event names no execution."}),
    ),
    (
        "function-does-not-start",
        "failed",
        "No module named 'numpy'",
        "the layer is broken",
        lambda_answers({"errorType": "Runtime.ImportModuleError", "errorMessage": "No module named 'numpy'"}),
    ),
    (
        "function-failed",
        "failed",
        "Sandbox.Timedout",
        "give the function more time",
        lambda_answers({"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 300.00 seconds"}),
    ),
    ("function-failed", "failed", "no answer", "Read the cause", lambda_answers({})),
    (
        "function-not-run",
        "failed",
        "could not connect the function to your VPC",
        "more addresses",
        refused("Invoke", "ENILimitReachedException"),
    ),
    (
        "no-right",
        "unknown",
        "You lack the right sns:ListSubscriptionsByTopic",
        "Ask for sns:ListSubscriptionsByTopic",
        refused("ListSubscriptionsByTopic", DENIED, UNAUTHORIZED.format("sns:ListSubscriptionsByTopic")),
    ),
    (
        "no-right",
        "unknown",
        "You lack the right s3:GetEncryptionConfiguration",
        "docs/deploy.md",
        refused("GetBucketEncryption", "AccessDenied"),
    ),
    (
        "missing",
        "failed",
        "ListSubscriptionsByTopic found nothing",
        "npx sls deploy",
        refused("ListSubscriptionsByTopic", "NotFound"),
    ),
    ("aws-refused", "unknown", "InternalError", "Try again in a minute", refused("DescribeAlarms", "InternalError")),
    (
        "no-answer",
        "unknown",
        "Could not connect",
        "Check the network",
        raises("DescribeAlarms", EndpointConnectionError(endpoint_url="https://x")),
    ),
    (
        "unexpected",
        "unknown",
        "LookupError",
        "it is a bug in `totes doctor`",
        raises("DescribeAlarms", LookupError("lost")),
    ),
]


@pytest.mark.parametrize(
    ("code", "level", "said", "remedy", "damage"), PROVOKED, ids=[f"{case[0]}-{case[2]}" for case in PROVOKED]
)
def test_finding_is_provoked(aws: AnsweringAws, code: str, level: str, said: str, remedy: str, damage: Damage) -> None:
    healthy = len(examine(NAMES))
    damage(aws)
    examined = examine(NAMES)
    found = wrong(examined)
    assert found, "nothing was found"
    assert {(finding.code, finding.level) for finding in found} == {(code, Level(level))}
    assert all(remedy in finding.remedy for finding in found)
    assert any(said in finding.found for finding in found), found
    # This finding replaces the one of a healthy stage; staleness comes with an execution that succeeded.
    assert len(examined) - len(found) < healthy or code == "stale"


@pytest.mark.parametrize(
    "operation", ["GetFunctionConfiguration", "DescribeRule", "ListExecutions", "GetQueueUrl", "Invoke"]
)
def test_right_that_is_missing_hides_no_other_finding(aws: AnsweringAws, operation: str) -> None:
    subscriptions("PendingConfirmation")(aws)
    aws.refuse(operation, DENIED)
    found = {finding.code for finding in wrong(examine(NAMES))}
    assert found == {"no-right", "subscription-pending"}


def test_every_finding_is_provoked() -> None:
    """For each finding that the checks can make, there is a test that provokes it."""
    made = set()
    for folder in ("totes/verify/doctor", "cli/doctor"):
        for file in (ROOT / folder).glob("*.py"):
            made |= set(_codes(file))
    provoked = {case[0] for case in PROVOKED} | {case[1] for case in PROVOKED_INSIDE} | {case[0] for case in JUDGED}
    # Errors are named by their classes.
    provoked = {code for code in provoked if not code[0].isupper()} | {"certificate-expires"}
    assert made == provoked


def _codes(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("warning", "failed", "unknown"):
            code = node.args[0]
            assert isinstance(code, ast.Constant), f"{file.name}:{node.lineno}: this test can't follow the code"
            yield str(code.value)


def test_documented_actions_are_those_that_are_asked(aws: AnsweringAws) -> None:
    subscriptions()(aws)
    examine(NAMES)
    assert {action for action, _ in aws.calls} == documented_actions()["doctor"]


def test_secrets_are_read_by_nobody_outside(aws: AnsweringAws) -> None:
    examine(NAMES)
    assert "secretsmanager:GetSecretValue" not in {action for action, _ in aws.calls}


@pytest.mark.parametrize("arn", ["arn:x", "PendingConfirmation"])
def test_address_of_a_hook_is_not_shown(aws: AnsweringAws, arn: str) -> None:
    hook = {"SubscriptionArn": arn, "Protocol": "https", "Endpoint": f"https://hooks.example.com/{PASSWORD}"}
    aws.change("ListSubscriptionsByTopic", lambda *_: {"Subscriptions": [hook]})
    found = str(examine(NAMES))
    assert "an endpoint by https" in found
    assert PASSWORD not in found


def test_secret_in_what_a_function_answers_is_masked(aws: AnsweringAws, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"connect to postgresql://reader:{PASSWORD}@db/totesys"
    lambda_answers({"errorType": "UnexpectedError", "errorMessage": text})(aws)
    for options in ("", " --json"):
        assert main(f"--stage prod doctor{options}".split()) == 1
    captured = capsys.readouterr()
    assert PASSWORD not in captured.out + captured.err
    assert "***@db" in captured.out


def test_command_shows_findings_by_area_and_ends_with_what_they_come_to(
    aws: AnsweringAws, capsys: pytest.CaptureFixture[str]
) -> None:
    subscriptions("PendingConfirmation")(aws)
    assert main(["--stage", "prod", "doctor"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "Stage prod in eu-west-2"
    place = lines.index("Alerts")
    assert lines[place + 1].startswith(f"warning         {ADDRESS} has not confirmed")
    assert lines[place + 2].startswith("→ Click the link")
    assert lines[-1].endswith(" ok, 1 warning.")


def test_command_ends_with_1_if_something_failed(aws: AnsweringAws, capsys: pytest.CaptureFixture[str]) -> None:
    subscriptions()(aws)
    assert main(["--stage", "prod", "doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["stage"], document["region"]) == ("prod", "eu-west-2")
    healthy = len(document["findings"]) - 1
    assert document["counts"] == {"ok": healthy, "warning": 0, "failed": 1, "unknown": 0}
    (gone,) = [finding for finding in document["findings"] if finding["level"] == "failed"]
    assert gone.keys() == {"area", "code", "level", "found", "remedy"}
    assert (gone["area"], gone["code"]) == ("Alerts", "subscription-gone")


def test_nothing_else_is_asked_of_a_stage_that_is_not_there(aws: AnsweringAws) -> None:
    aws.refuse("DescribeStacks", INVALID, "Stack with id totes-prod does not exist")
    assert [finding.code for finding in examine(NAMES)] == ["stack-missing"]
    assert {action for action, _ in aws.calls} == {"cloudformation:DescribeStacks"}


@pytest.mark.parametrize(
    "fields", [{"StateReason": "why"}, {"LastUpdateStatusReason": "why"}], ids=["of its state", "of its update"]
)
def test_reason_of_lambda_is_passed_on(aws: AnsweringAws, fields: dict[str, str]) -> None:
    function(State="Failed", **fields)(aws)
    assert [found.found for found in wrong(examine(NAMES))] == ["totes-prod-load can't be called or updated: why."]


def test_function_that_nobody_has_called_for_weeks_is_no_fault(aws: AnsweringAws) -> None:
    function(State="Inactive", StateReasonCode="Idle")(aws)
    assert wrong(examine(NAMES)) == []


def test_pause_is_no_staleness(aws: AnsweringAws) -> None:
    changed_of("DescribeRule", "Name", NAMES.rule, State="DISABLED", Description=PAUSED)(aws)
    executions(execution(started=NOW - HOURS))(aws)
    assert {finding.code for finding in wrong(examine(NAMES))} == {"schedule-paused"}


def test_rare_schedule_is_no_staleness(aws: AnsweringAws) -> None:
    changed_of("DescribeRule", "Name", NAMES.rule, ScheduleExpression="rate(1 hour)")(aws)
    executions(execution(started=NOW - HOURS))(aws)
    assert wrong(examine(NAMES)) == []


def test_metric_is_not_missed_before_it_can_have_arrived(aws: AnsweringAws) -> None:
    executions(execution(started=NOW - TWO_MINUTES))(aws)
    changed("ListMetrics", Metrics=[])(aws)
    assert wrong(examine(NAMES)) == []
