import re
from collections.abc import Iterator
from typing import Any

import pytest

from totes.contracts.requests import RULES, TYPES, Request, input_schema, parse_backfill, parse_request
from totes.errors import InputRefused

EXECUTION = "arn:aws:states:eu-west-2:123456789012:execution:totes-test-pipeline:a"


@pytest.mark.parametrize(
    ("event", "full_read"),
    [
        ({}, ()),
        ({"input": {}}, ()),
        ({"input": {"full_read": []}}, ()),
        ({"input": {"full_read": ["staff", "design"]}}, ("staff", "design")),
    ],
)
def test_request_holds_what_the_input_asks_for(event: dict[str, Any], full_read: tuple[str, ...]) -> None:
    assert parse_request({"execution": EXECUTION} | event) == Request(EXECUTION, full_read)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"watermark": "2024"}, "has the unknown field watermark."),
        ({"dry_run": True}, "has the unknown field dry_run."),
        ({"full_reed": [], "a": 1}, "has the unknown field a, full_reed."),
        ({"full_read": "staff"}, "is wrong: full_read must be a list, not text."),
        ({"full_read": None}, "is wrong: full_read must be a list, not null."),
        ({"full_read": {"staff": 1}}, "is wrong: full_read must be a list, not an object."),
        ({"full_read": ["staff", "staff"]}, "is wrong: full_read must name each entry once."),
        ({"full_read": ["staff", 7]}, "is wrong: entry 2 of full_read must be text, not 7."),
        ({"full_read": [["staff"]]}, "is wrong: entry 1 of full_read must be text, not a list."),
        ({"accept_deletions": ["payment"]}, "is wrong: accept_deletions must be an object, not a list."),
        (
            {"accept_deletions": {"payment": "15"}},
            "is wrong: payment in accept_deletions must be a whole number, not text.",
        ),
        (
            {"accept_deletions": {"payment": True}},
            "is wrong: payment in accept_deletions must be a whole number, not true.",
        ),
        (
            {"accept_deletions": {"payment": 1.5}},
            "is wrong: payment in accept_deletions must be a whole number, not 1.5.",
        ),
        ({"accept_deletions": {"payment": 0}}, "is wrong: payment in accept_deletions must be at least 1, not 0."),
        ({"accept_deletions": {"a.b[0]\n{x}": 0}}, "is wrong: a.b[0]\n{x} in accept_deletions must be at least 1, not"),
        (["staff"], "is wrong: it must be an object, not a list."),
        ("{}", "is wrong: it must be an object, not text."),
        (None, "is wrong: it must be an object, not null."),
    ],
)
def test_refusal_names_the_fault_and_what_is_allowed(given: object, found: str) -> None:
    with pytest.raises(InputRefused) as caught:
        parse_request({"execution": EXECUTION, "input": given})
    assert str(caught.value).startswith(f"The execution's input {found}")
    assert ". Start the execution with {} or with what is allowed: " in str(caught.value)
    assert "full_read: list of tables of totesys to read in full" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"rows": 0}, "rows must be at least 1, not 0."),
        ({"rows": "many"}, "rows must be a whole number, not text."),
        ({"concurrency": 41}, "concurrency must be at most 40, not 41."),
        ([], "it must be an object, not a list."),
    ],
)
def test_refusal_of_a_backfill_names_the_fault(given: object, found: str) -> None:
    with pytest.raises(InputRefused, match=re.escape(f"The execution's input is wrong: {found} Start the execution")):
        parse_backfill(given)


@pytest.mark.parametrize("workflow", ["pipeline", "backfill"])
def test_every_rule_of_an_input_has_words(workflow: str) -> None:
    about = {"$schema", "title", "description", "default", "properties", "items", "additionalProperties"}

    def rules(schema: object) -> Iterator[tuple[str, object]]:
        if isinstance(schema, dict):
            for rule, value in schema.items():
                if rule not in about:
                    yield rule, value
            parts = schema.get("items"), schema.get("additionalProperties"), *schema.get("properties", {}).values()
            for part in parts:
                yield from rules(part)

    for rule, value in rules(input_schema(workflow)):
        assert rule in RULES
        assert rule != "type" or value in TYPES


@pytest.mark.parametrize(
    ("field", "given"),
    [("full_read", ["refunds", "staff", "orders"]), ("accept_deletions", {"refunds": 1, "staff": 2, "orders": 3})],
)
def test_unknown_tables_are_named_beside_the_known(field: str, given: object) -> None:
    with pytest.raises(InputRefused, match=rf"has orders, refunds in {field}, .* The tables are address, counterp"):
        parse_request({"execution": EXECUTION, "input": {field: given}})


@pytest.mark.parametrize("event", [{}, {"execution": None}, {"execution": 7, "input": {}}])
def test_event_of_no_execution_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InputRefused, match=r"event names no execution. Start an execution of the state machine"):
        parse_request(event)
