"""Selects the execution for a command: the named one, or the newest suitable one."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from cli.errors import CommandFailed, Misused
from totes.alerts.executions import Execution, latest
from totes.errors import SHOWN

if TYPE_CHECKING:
    from totes.runtime.names import Names

UNSUCCESSFUL = ("FAILED", "TIMED_OUT", "ABORTED")
# Step Functions returns different errors for an invalid name and for an unknown one.
_UNKNOWN = {"ExecutionDoesNotExist", "InvalidArn", "ValidationException"}


def named(names: "Names", given: str) -> str:
    """Returns the ARN of the execution with this name or ARN.

    Raises:
        Misused: it does not exist, or belongs to another state machine.
    """
    prefix = names.state_machine_arn.replace(":stateMachine:", ":execution:") + ":"
    arn = given if given.startswith("arn:") else prefix + given
    if not arn.startswith(prefix):
        raise Misused(f"{given} is not an execution of {names.state_machine} in {names.region}.")
    import boto3

    try:
        boto3.client("stepfunctions").describe_execution(executionArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _UNKNOWN:
            raise
        raise Misused(_unknown(names, arn.removeprefix(prefix))) from None
    return arn


def newest(names: "Names") -> Execution:
    """Returns the execution that started last.

    Raises:
        CommandFailed: there are no executions yet.
    """
    found = latest(names, 1)
    if not found:
        raise CommandFailed(f"{names.state_machine} has no executions yet: start one with `totes run`.")
    return found[0]


def newest_unsuccessful(names: "Names") -> Execution | None:
    """Returns the newest execution that ended without success; None if there is none."""
    found = [execution for status in UNSUCCESSFUL for execution in latest(names, 1, status)]
    return max(found, key=lambda execution: execution.started, default=None)


def _unknown(names: "Names", name: str) -> str:
    newest_ones = [execution.name for execution in latest(names, SHOWN)]
    others = f"the newest are {', '.join(newest_ones)}" if newest_ones else "it has no executions yet"
    return f"{names.state_machine} has no execution {name}; {others}."
