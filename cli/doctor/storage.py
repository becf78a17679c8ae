"""Checks the secrets, the buckets and the log groups."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from cli.doctor.stage import Stage
from totes.runtime.aws import client
from totes.runtime.names import FUNCTIONS
from totes.verify.doctor.findings import Finding, failed, ok, warning

_CURRENT = "AWSCURRENT"
_LOG_GROUPS = ("/aws/lambda/", "/aws/vendedlogs/states/")
_NEVER_SET = ("ServerSideEncryptionConfigurationNotFoundError", "NoSuchPublicAccessBlockConfiguration")
_NO_RULES = ("NoSuchLifecycleConfiguration", "NoSuchBucketPolicy")


def look_at_secrets(stage: Stage) -> Iterator[Finding]:
    """Checks that both secrets have a value. Does not read it: only a function that needs it may."""
    for which, name in (("source", stage.names.source_secret), ("warehouse", stage.names.warehouse_secret)):
        found = client("secretsmanager").describe_secret(SecretId=name)
        if found.get("DeletedDate"):
            yield failed(
                "secret-deleted",
                f"The secret {name} is scheduled for deletion.",
                f"Run `aws secretsmanager restore-secret --secret-id {name}`.",
            )
        elif not any(_CURRENT in stages for stages in found.get("VersionIdsToStages", {}).values()):
            yield failed(
                "secret-empty",
                f"The secret {name} has no value yet.",
                f"Run `{stage.totes} secret {which} --host … --dbname … --username …`; it asks for the password.",
            )
        else:
            yield ok("secret-filled", f"The secret {name} has a value.")


def look_at_buckets(stage: Stage) -> Iterator[Finding]:
    """Checks the buckets' encryption, public access block, versioning, life cycle and policy."""
    for bucket in (stage.names.landing_bucket, stage.names.processed_bucket):
        found = [what for what, holds in _properties(stage, bucket) if not holds]
        if found:
            yield failed("bucket-changed", f"The bucket {bucket} has lost {', '.join(found)}.", stage.deploy)
        else:
            yield ok("bucket", f"{bucket} is encrypted, closed to the public, versioned, and rejects overwrites.")


def _properties(stage: Stage, bucket: str) -> Iterator[tuple[str, bool]]:
    s3 = client("s3")
    yield "its encryption", bool(_asked(s3.get_bucket_encryption, bucket))
    block = _asked(s3.get_public_access_block, bucket).get("PublicAccessBlockConfiguration", {})
    yield "a part of its public access block", len(block) == 4 and all(block.values())
    yield "its versioning", _asked(s3.get_bucket_versioning, bucket).get("Status") == "Enabled"
    rules = _asked(s3.get_bucket_lifecycle_configuration, bucket).get("Rules", [])
    yield (
        "a rule of its life cycle",
        {rule["ID"] for rule in rules if rule["Status"] == "Enabled"} >= _declared_rules(stage),
    )
    policy = _asked(s3.get_bucket_policy, bucket).get("Policy", "")
    yield "a part of its policy", all(f'"{sid}"' in policy for sid in _declared_sids(stage))


def _asked(operation: Any, bucket: str) -> dict[str, Any]:
    """Returns the operation's answer; empty if the bucket has no such configuration."""
    try:
        answer: dict[str, Any] = operation(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in (*_NEVER_SET, *_NO_RULES):
            raise
        return {}
    return answer


def _declared_rules(stage: Stage) -> set[str]:
    (rules,) = {
        frozenset(rule["Id"] for rule in bucket["LifecycleConfiguration"]["Rules"])
        for bucket in stage.declared("AWS::S3::Bucket")
    }
    return set(rules)


def _declared_sids(stage: Stage) -> set[str]:
    policies = stage.declared("AWS::S3::BucketPolicy")
    return {statement["Sid"] for policy in policies for statement in policy["PolicyDocument"]["Statement"]}


def look_at_logs(stage: Stage) -> Iterator[Finding]:
    """Checks that each log group exists and has a retention period."""
    kept = {name: days for prefix in _LOG_GROUPS for name, days in _groups(stage, f"{prefix}{stage.stack}-")}
    wanted = [stage.names.log_group(name) for name in FUNCTIONS]
    wanted += [group["LogGroupName"] for group in stage.declared("AWS::Logs::LogGroup")]
    if missing := [group for group in wanted if group not in kept]:
        yield failed("logs-missing", f"There is no log group {', '.join(missing)}.", stage.deploy)
    if forever := [group for group in wanted if group in kept and kept[group] is None]:
        yield warning("logs-kept-forever", f"Log lines of {', '.join(forever)} are never deleted.", stage.deploy)
    if not missing and not forever:
        days = sorted({str(kept[group]) for group in wanted})
        yield ok("logs", f"All {len(wanted)} log groups exist; they keep lines for {' or '.join(days)} days.")


def _groups(stage: Stage, prefix: str) -> Iterator[tuple[str, int | None]]:
    """Yields each log group's name and retention in days; None if it never deletes lines."""
    for page in client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
        for group in page["logGroups"]:
            yield group["logGroupName"], group.get("retentionInDays")
