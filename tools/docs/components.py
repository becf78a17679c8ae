"""Generates each function's specification from its code and its deployment: input, output, errors, rights, metrics."""

import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from functions import fail
from local.aws.deployment import BACKFILL, ROOT, STATE_MACHINE, Deployment
from totes.alerts.failure import failure_of
from totes.alerts.watch import tell
from totes.backfill import Backfill
from totes.errors import TotesError, TransientError
from totes.ingest import ingest
from totes.load import load
from totes.runtime.names import STAGES
from totes.transform import transform

USE_CASES: dict[str, Callable[..., object]] = {
    "ingest": ingest,
    "transform": transform,
    "load": load,
    "report": failure_of,
    "fail": fail.handler,
    "watch": tell,
    "backfill": Backfill,
}
# Errors of every function: an incomplete environment, or an unexpected error. Every stage also raises errors for a
# wrong input or an invalid declaration.
COMMON = ("SettingsInvalid", "UnexpectedError")
COMMON_OF_STAGES = ("ContractInvalid", "InputRefused")
# A rule calls this function with an event from AWS, and nothing reads its answer.
_EVENT = "`detail.executionArn` and `detail.status` of the event *Step Functions Execution Status Change*"
_ANSWERS = {"watch": "`told`: whether an e-mail was sent", "fail": "`redriven`, unless it raises"}
# Other functions have the same name as their state. `backfill` serves the states of its own workflow.
_STATES = {"fail": "Failed"}
_OF_BACKFILL, _CALLED = "backfill", "#{BackfillLambdaFunction.Arn}"
_WORD = re.compile(r"\b[A-Z]\w+")


def specifications() -> str:
    """Returns a table for each function."""
    functions = Deployment("<stage>").functions()
    return "\n".join(line for name, declared in functions.items() for line in _specification(name, declared))


def raised(function: str) -> list[str]:
    """Returns the names of our errors that a function may raise, from its use case's docstring."""
    text = inspect.getdoc(USE_CASES[function]) or ""
    known = {kind.__name__ for kind in _below(TotesError)}
    own = [name for name in _WORD.findall(text.partition("Raises:")[2]) if name in known]
    if not _is_observed(function):
        return own
    common = COMMON + COMMON_OF_STAGES if function.title() in (*STAGES, "Backfill") else COMMON
    return sorted({*own, *common})


def _specification(name: str, declared: dict[str, Any]) -> Iterator[str]:
    use_case = USE_CASES[name]
    again = [error for error in raised(name) if error in {kind.__name__ for kind in _below(TransientError)}]
    memory, disk = declared["memorySize"], declared.get("ephemeralStorageSize", 512)
    code = f"[{declared['handler']}](../functions/{name}.py) → `{use_case.__module__}.{use_case.__name__}`"
    rows = {
        "Does": declared["description"],
        "Runs": f"{code}; {memory} MB, {declared['timeout']} s, {disk} MB of /tmp",
        "Started by": _trigger(name),
        "Input": _fields(name, "Parameters", "Payload") or _EVENT,
        "Output": _fields(name, "ResultSelector") or _ANSWERS[name],
        "Errors that a retry may heal": _listed(again) or "none",
        "Errors that no retry heals": _listed([error for error in raised(name) if error not in again])
        or "the caught error",
        "May": f"{_may(declared['role'])} [{declared['role']}](#{declared['role'].lower()}) has each right.",
        "Metrics": _listed(_metrics(name)) or "none",
    }
    yield f"### `{declared['name']}`\n"
    yield "| | |\n| --- | --- |"
    yield from (f"| {what} | {text} |" for what, text in rows.items())
    yield ""


def _served(name: str) -> dict[str, dict[str, Any]]:
    """Returns the states that a function serves: one state of the pipeline, or a backfill's, including inner ones."""
    if name == _OF_BACKFILL:
        states = {state: task for group in _groups(_states(BACKFILL)) for state, task in group.items()}
        return {
            state: task for state, task in states.items() if "BackfillLambdaFunction" in str(task.get("Parameters"))
        }
    state = _STATES.get(name, name.title())
    return {found: task for found, task in _states(STATE_MACHINE).items() if found == state}


def _states(file: Path) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["States"]
    return states


def _groups(states: dict[str, dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    return [states, *(state["ItemProcessor"]["States"] for state in states.values() if "ItemProcessor" in state)]


def _trigger(name: str) -> str:
    if served := _served(name):
        states = "state" if len(served) == 1 else "states"
        return f"the {states} {_listed([*served])} of `totes-<stage>-{_OF_BACKFILL if len(served) > 1 else 'pipeline'}`"
    (rule,) = [
        resource["Properties"]["Name"]
        for resource in Deployment("<stage>").resources().values()
        if resource["Type"] == "AWS::Events::Rule" and f"{name.title()}LambdaFunction" in str(resource)
    ]
    return f"the rule `{rule}`"


def _fields(name: str, *path: str) -> str:
    """Returns the fields of a state's payload or result; empty if no state has any."""
    fields: dict[str, None] = {}
    for found in _served(name).values():
        for step in path:
            found = found.get(step, {})
        fields |= dict.fromkeys(field.removesuffix(".$") for field in found)
    return _listed([*fields])


def _may(role: str) -> str:
    """Returns the sentence above a role in resources/roles.yml."""
    text = (ROOT / "resources" / "roles.yml").read_text(encoding="utf-8")
    found = re.search(rf"^  # (.+)\n  {role}:$", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"{role} has no sentence above it in resources/roles.yml.")
    return found[1]


def _metrics(name: str) -> list[str]:
    if not _is_observed(name):
        return []
    source = inspect.getsource(importlib.import_module(f"functions.{name}"))
    # Adds the two metrics of every observed function (totes.runtime.log).
    return [*re.findall(r'add_metric\("(\w+)"', source), "Duration", "Failures"]


def _is_observed(name: str) -> bool:
    return "@observed" in inspect.getsource(importlib.import_module(f"functions.{name}"))


def _below(kind: type[TotesError]) -> Iterator[type[TotesError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
