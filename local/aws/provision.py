"""Creates the same resources in moto as `sls deploy` creates on AWS, with the same names, from the same files."""

import json
from typing import TYPE_CHECKING, Any

from local.aws.deployment import BACKFILL, Deployment, state_machine_definition
from local.lambda_runtime.runtime import Function
from totes.runtime.names import FUNCTIONS, Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAILBOX = "on-call@example.com"
DOCS = "docs"
# moto checks that a function's role exists, but does not evaluate its rights.
ROLE = "totes-local"
TRUST = '{"Version": "2012-10-17", "Statement": []}'
CODE = b"The local stack runs the handlers from the working copy."


def deployed_functions(names: Names, deployment: Deployment) -> list[Function]:
    """Returns the functions, with their limits from serverless.yml and the same environment variables."""
    buckets = {
        "TOTES_LANDING_BUCKET": names.landing_bucket,
        "TOTES_PROCESSED_BUCKET": names.processed_bucket,
    }
    mails = {
        "TOTES_DOCS": DOCS,
        "TOTES_MAIL_INTERVALS": deployment.parameter("mailIntervals"),
        "TOTES_CHAT": "false",
    }
    own = {
        "ingest": {"TOTES_SOURCE_SECRET": names.source_secret},
        "transform": {},
        "load": {"TOTES_WAREHOUSE_SECRET": names.warehouse_secret},
        "report": mails,
        "fail": {},
        "watch": mails | {"TOTES_ALERTS_TOPIC": names.topic_arn},
        "backfill": {"TOTES_SOURCE_SECRET": names.source_secret},
    }
    return [
        Function(
            name=names.function(name),
            arn=names.function_arn(name),
            handler=f"functions.{name}.handler",
            environment=buckets | own[name] | _powertools(name),
            timeout=deployment.timeout(name),
            memory=deployment.memory(name),
        )
        for name in FUNCTIONS
    ]


def create_buckets(s3: Any, names: Names) -> None:
    """Creates the lake's two versioned buckets."""
    for bucket in (names.landing_bucket, names.processed_bucket):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": names.region})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def create_functions(client: "Callable[[str], Any]", functions: list[Function]) -> None:
    """Creates the functions and their log groups."""
    role = client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    for function in functions:
        client("lambda").create_function(
            FunctionName=function.name,
            Runtime="python3.13",
            Role=role,
            Handler=function.handler,
            Code={"ZipFile": CODE},
            Timeout=function.timeout,
            MemorySize=function.memory,
            Environment={"Variables": dict(function.environment)},
        )
        client("logs").create_log_group(logGroupName=function.log_group)


def create_alerts(sns: Any, names: Names) -> None:
    """Creates the alerts' topic and its e-mail subscription."""
    topic = sns.create_topic(Name=names.topic)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=MAILBOX)


def create_pipeline(client: "Callable[[str], Any]", names: Names, deployment: Deployment, definition: "Path") -> None:
    """Creates the state machines, the schedule's rule, and the rule for ended executions.

    The rules get no target: moto fires no rules, and PutEvents fails if a rule's target is a state machine.
    """
    for name, file in ((names.state_machine, definition), (names.backfill, BACKFILL)):
        client("stepfunctions").create_state_machine(
            name=name,
            definition=state_machine_definition(file, names),
            roleArn=f"arn:aws:iam::{names.account}:role/{ROLE}",
        )
    rule = deployment.schedule_rule()
    client("events").put_rule(
        Name=rule.name, ScheduleExpression=rule.expression, State=rule.state, Description=rule.description
    )
    pattern = deployment.ended_pattern()
    pattern["detail"]["stateMachineArn"] = [names.state_machine_arn]
    client("events").put_rule(Name=names.ended_rule, EventPattern=json.dumps(pattern))


def _powertools(function: str) -> dict[str, str]:
    return {
        "POWERTOOLS_SERVICE_NAME": f"totes-{function}",
        "POWERTOOLS_METRICS_NAMESPACE": "totes-local",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
