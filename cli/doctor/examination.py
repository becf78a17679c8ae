"""Runs all checks of a stage. A failing check does not stop the others."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from cli.doctor import alerts, schedule, stack, storage
from cli.doctor.functions import Answers, asked
from cli.doctor.stage import Stage
from totes.alerts.error_catalogue import CATALOGUE
from totes.verify.doctor.findings import Finding, failed, guarded, in_area, unknown
from totes.verify.doctor.inside import EXAMINED

if TYPE_CHECKING:
    from totes.runtime.names import Names

_REFUSED = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException", "403")
_MISSING = (
    *("NotFound", "NotFoundException", "ResourceNotFoundException", "NoSuchBucket", "StateMachineDoesNotExist"),
    *("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
)
_ACTION = re.compile(r"not authorized to perform: ([\w-]+:\w+)")
# The rights whose names differ from their operations'.
_ACTIONS = {
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "Invoke": "InvokeFunction",
}


@dataclass(frozen=True)
class Check:
    """One check of a stage.

    Attributes:
        service: the AWS service's name in rights.
        everywhere: whether the check also runs on the local stack.
    """

    area: str
    service: str
    look: Callable[[Stage], Iterable[Finding]]
    everywhere: bool = False


STACK = Check("Stack", "cloudformation", stack.look_at_stack)
CHECKS = (
    Check("Stack", "lambda", stack.look_at_functions),
    Check("Stack", "logs", storage.look_at_logs),
    Check("Schedule", "events", schedule.look_at_schedule, everywhere=True),
    Check("Schedule", "events", schedule.look_at_rules),
    Check("Schedule", "states", schedule.look_at_executions, everywhere=True),
    Check("Alerts", "sns", alerts.look_at_subscriptions, everywhere=True),
    Check("Alerts", "cloudwatch", alerts.look_at_alarms),
    Check("Alerts", "sqs", alerts.look_at_queues),
    Check("Alerts", "cloudwatch", alerts.look_at_metrics),
    Check("Storage", "secretsmanager", storage.look_at_secrets, everywhere=True),
    Check("Storage", "s3", storage.look_at_buckets),
)

Progress = Callable[[str], None]


def examine(names: "Names", progress: Progress = lambda _: None) -> list[Finding]:
    """Checks the whole stage.

    Args:
        progress: called with the next step's name.
    """
    stage = Stage(names)
    first = [] if stage.is_local else [*_looked(stage, STACK)]
    if any(finding.code == "stack-missing" for finding in first):
        # Without the stack, nothing else exists.
        return first
    with asked(stage) as answers:
        return [*first, *_from_outside(stage, progress), *_from_inside(stage, answers, progress)]


def _from_outside(stage: Stage, progress: Progress) -> Iterator[Finding]:
    for check in CHECKS:
        if check.everywhere or not stage.is_local:
            progress(f"checking the {check.area.lower()}")
            yield from _looked(stage, check)


def _from_inside(stage: Stage, answers: Answers, progress: Progress) -> Iterator[Finding]:
    for function in EXAMINED:
        name = stage.names.function(function)
        progress(f"waiting for {name}")
        yield from _looked(stage, Check(f"From inside {name}", "lambda", partial(answers.of, function)))
    yield from _looked(stage, Check("Stack", "lambda", answers.code))


def _looked(stage: Stage, check: Check) -> Iterator[Finding]:
    return in_area(check.area, guarded(partial(_translated, stage, check)))


def _translated(stage: Stage, check: Check) -> Iterator[Finding]:
    """Yields the check's findings. Turns an error from AWS into a finding."""
    try:
        yield from check.look(stage)
    except ClientError as error:
        yield _of_refusal(stage, check, error)
    except BotoCoreError as error:
        yield unknown("no-answer", f"AWS does not answer: {error}.", "Check the network, and run it again.")


def _of_refusal(stage: Stage, check: Check, error: ClientError) -> Finding:
    code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code in _REFUSED:
        action = _action(check, said, error.operation_name)
        remedy = f"Ask for {action}. docs/deploy.md#what-an-operator-needs lists all rights that `totes doctor` needs."
        return unknown("no-right", f"You lack the right {action}.", remedy)
    if code in _MISSING:
        return failed("missing", f"{error.operation_name} found nothing: {said or code}.", stage.deploy)
    if f"Lambda.{code}" in CATALOGUE:
        meant, remedy = CATALOGUE[f"Lambda.{code}"]
        return failed("function-not-run", f"{meant} {code}: {said}.", remedy)
    return unknown("aws-refused", f"{error.operation_name} failed with {code}: {said}.", "Try again in a minute.")


def _action(check: Check, said: str, operation: str) -> str:
    found = _ACTION.search(said)
    return found[1] if found else f"{check.service}:{_ACTIONS.get(operation, operation)}"
