"""Checks the deployed stack and functions in CloudFormation and Lambda."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from cli.doctor.stage import Stage
from totes.runtime.aws import client
from totes.runtime.names import FUNCTIONS
from totes.verify.doctor.findings import Finding, failed, ok, warning

_GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_UNDONE = "UPDATE_ROLLBACK_COMPLETE"
_AT_WORK = "_IN_PROGRESS"
# Lambda makes a function inactive after weeks without a call, and active again at the next call.
_CALLABLE = ("Active", "Inactive")
_EVENTS = "aws cloudformation describe-stack-events --stack-name {stack}"


def look_at_stack(stage: Stage) -> Iterator[Finding]:
    """Checks the stack's state."""
    state = _state(stage)
    if not state:
        yield failed(
            "stack-missing",
            f"There is no stack {stage.stack} in {stage.names.region} of account {stage.names.account}.",
            f"Check --stage, --region and --profile. If it was never deployed, run `npx sls deploy --stage "
            f"{stage.names.stage}`.",
        )
        return
    why = f"`{_EVENTS.format(stack=stage.stack)}` shows why."
    if state in _GOOD:
        yield ok("stack", f"The stack {stage.stack} is {state}.")
    elif state.endswith(_AT_WORK):
        yield warning(
            "stack-changes", f"The stack {stage.stack} is {state}.", "Run it again when the deployment is over."
        )
    elif state == _UNDONE:
        yield warning(
            "stack-undone",
            f"The last update of the stack {stage.stack} was rolled back, so the deployment before it runs.",
            f"{why} Correct the cause, and deploy again.",
        )
    else:
        yield failed(
            "stack-broken", f"The stack {stage.stack} is {state}.", f"{why} Correct the cause, and deploy again."
        )


def _state(stage: Stage) -> str:
    """Returns the stack's state; empty if there is no stack."""
    try:
        found = client("cloudformation").describe_stacks(StackName=stage.stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return ""
    return str(found[0]["StackStatus"])


def look_at_functions(stage: Stage) -> Iterator[Finding]:
    """Checks that each function can be called, and has the declared runtime and the one layer."""
    ask = client("lambda").get_function_configuration
    found = {name: ask(FunctionName=stage.names.function(name)) for name in FUNCTIONS}
    wrong = [*_states(found, stage), *_runtimes(found, stage), *_layers(found, stage)]
    yield from wrong
    if not wrong:
        runtimes = ", ".join(sorted({str(each["Runtime"]) for each in found.values()}))
        yield ok("functions", f"All {len(found)} functions are ready, with {runtimes} and one layer.")


def _states(found: dict[str, Any], stage: Stage) -> Iterator[Finding]:
    for each in found.values():
        name, why = each["FunctionName"], each.get("StateReason") or each.get("LastUpdateStatusReason")
        reason = f": {why}" if why else ""
        if "Failed" in (each.get("State"), each.get("LastUpdateStatus")):
            yield failed("function-broken", f"{name} can't be called or updated{reason}.", stage.deploy)
        elif each.get("State", "Active") not in _CALLABLE or each.get("LastUpdateStatus") == "InProgress":
            yield warning("function-not-ready", f"{name} is not ready{reason}.", "Try again in a minute.")


def _runtimes(found: dict[str, Any], stage: Stage) -> Iterator[Finding]:
    declared = stage.deployment.functions()
    for name, each in found.items():
        if each["Runtime"] != declared[name]["runtime"]:
            was = (
                f"{each['FunctionName']} runs on {each['Runtime']}; this checkout declares {declared[name]['runtime']}."
            )
            yield warning("runtime-differs", was, stage.deploy)


def _layers(found: dict[str, Any], stage: Stage) -> Iterator[Finding]:
    wanted = f":layer:{stage.stack}-dependencies:"
    layers = {each["FunctionName"]: [layer["Arn"] for layer in each.get("Layers", [])] for each in found.values()}
    for name, arns in layers.items():
        if not any(wanted in arn for arn in arns):
            yield failed("layer-missing", f"{name} lacks the layer {stage.stack}-dependencies.", stage.deploy)
    if len({arn for arns in layers.values() for arn in arns}) > 1:
        yield failed("layers-differ", "The functions have different versions of the layer.", stage.deploy)
