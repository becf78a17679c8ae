"""Checks a function's event before the function does anything.

schemas/interfaces/*.schema.json define the shapes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import fastjsonschema

from totes.contracts.declarations import SCHEMAS, source_tables
from totes.errors import InputRefused

# The kinds of JSON values, in plain words.
TYPES = {"array": "a list", "object": "an object", "string": "text", "integer": "a whole number"}
# The words for each rule of the schemas: a value "must be at least 1, not 0".
RULES = {
    "type": "be {wanted}, not {found}",
    "minimum": "be at least {wanted}, not {found}",
    "maximum": "be at most {wanted}, not {found}",
    "uniqueItems": "name each entry once",
}
_PATH = re.compile(r"data\.(?P<field>\w+)(?:\[(?P<index>[0-9]+)\]|\.(?P<key>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Request:
    """One invocation of a function.

    Attributes:
        execution: the ARN of the Step Functions execution.
        full_read: the tables of totesys to read in full, from the execution's input.
        accept_deletions: by table, how many rows may be deleted, whatever share of the table that is.
        so_far: the results of the stages so far in this execution, by their names.
    """

    execution: str
    full_read: tuple[str, ...] = ()
    accept_deletions: Mapping[str, int] = field(default_factory=dict)
    so_far: Mapping[str, Any] = field(default_factory=dict)

    @property
    def landed_through(self) -> int:
        """Returns the last landed batch that a stage of this execution has reported; 0 if there is none."""
        return int(self.so_far.get("ingest", {}).get("landed_through", 0))

    @property
    def processed_through(self) -> int:
        """Returns the last processed batch that a stage of this execution has reported; 0 if there is none."""
        last = self.so_far.get("transform") or self.so_far.get("ingest", {})
        return int(last.get("processed_through", 0))

    @property
    def landed_objects(self) -> Sequence[Mapping[str, Any]]:
        """Returns the objects that Transform probably needs; a workflow of an earlier release names none."""
        objects: Sequence[Mapping[str, Any]] = self.so_far.get("ingest", {}).get("objects", ())
        return objects

    @property
    def processed_objects(self) -> Sequence[Mapping[str, Any]]:
        """Returns the objects that Load probably needs."""
        objects: Sequence[Mapping[str, Any]] = self.so_far.get("transform", {}).get("objects", ())
        return objects


@dataclass(frozen=True)
class BackfillRequest:
    """The input of a backfill.

    Attributes:
        rows: about how many rows of a table one function reads.
        concurrency: how many functions read totesys at once.
    """

    rows: int
    concurrency: int


def parse_request(event: Mapping[str, Any]) -> Request:
    """Parses the request in a function's event.

    Raises:
        InputRefused: names the first thing that is wrong, and lists what is allowed.
    """
    execution, given = event.get("execution"), event.get("input", {})
    if not isinstance(execution, str):
        raise InputRefused(
            "The function's event names no execution.",
            "Start an execution of the state machine, which calls the functions.",
        )
    given = _checked(given, "pipeline")
    tables = tuple(given.get("full_read", ()))
    accepted = given.get("accept_deletions", {})
    for field_name, named in (("full_read", tables), ("accept_deletions", accepted)):
        if undeclared := sorted(set(named) - source_tables().keys()):
            raise InputRefused(
                f"The execution's input has {', '.join(undeclared)} in {field_name}, which is no table of totesys.",
                f"The tables are {', '.join(sorted(source_tables()))}.",
            )
    return Request(execution, tables, accepted, event.get("so_far", {}))


def parse_backfill(given: object) -> BackfillRequest:
    """Parses the input of a backfill, and adds the defaults of fields that it leaves out.

    Raises:
        InputRefused: names the first thing that is wrong, and lists what is allowed.
    """
    return BackfillRequest(**_checked(given, "backfill"))


@cache
def input_schema(workflow: str) -> dict[str, Any]:
    """Returns the JSON schema of an execution's input, for the `pipeline` or a `backfill`."""
    document: dict[str, Any] = json.loads(
        (SCHEMAS / "interfaces" / f"{workflow}-input.schema.json").read_text(encoding="utf-8")
    )
    return document


def _checked(given: Any, workflow: str) -> dict[str, Any]:
    allowed = input_schema(workflow)["properties"]
    if isinstance(given, dict) and (unknown := sorted(given.keys() - allowed.keys())):
        raise InputRefused(f"The execution's input has the unknown field {', '.join(unknown)}.", _remedy(workflow))
    try:
        checked: dict[str, Any] = _validator(workflow)(given)
    except fastjsonschema.JsonSchemaValueException as error:
        raise InputRefused(f"The execution's input is wrong: {_said(error)}.", _remedy(workflow)) from error
    return checked


def _said(error: fastjsonschema.JsonSchemaValueException) -> str:
    """Returns the mistake in plain words: fastjsonschema's message speaks of `data`, arrays and strings."""
    wanted = error.rule_definition
    must = RULES[str(error.rule)].format(wanted=TYPES.get(wanted, wanted), found=_kind(error.value))
    return f"{_place(str(error.name))} must {must}"


def _place(path: str) -> str:
    found = _PATH.fullmatch(path)
    if not found:
        return "it"
    if found["index"]:
        return f"entry {int(found['index']) + 1} of {found['field']}"
    return f"{found['key']} in {found['field']}" if found["key"] is not None else found["field"]


def _kind(value: object) -> str:
    match value:
        case str():
            return TYPES["string"]
        case list():
            return TYPES["array"]
        case dict():
            return TYPES["object"]
    return json.dumps(value)


@cache
def _validator(workflow: str) -> Any:
    return fastjsonschema.compile(input_schema(workflow))


def _remedy(workflow: str) -> str:
    fields = "; ".join(
        f"{name}: {field['description'].rstrip('.')}" for name, field in input_schema(workflow)["properties"].items()
    )
    return f"Start the execution with {{}} or with what is allowed: {fields}."
