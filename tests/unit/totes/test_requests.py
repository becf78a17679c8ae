from typing import Any

import pytest

from totes.errors import InputRefused
from totes.requests import Request, parse_request

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
        ({"full_read": "staff"}, "is wrong: data.full_read must be array."),
        ({"full_read": ["staff", "staff"]}, "is wrong: data.full_read must contain unique items."),
        ({"full_read": [7]}, "is wrong: data.full_read[0] must be string."),
        (["staff"], "is wrong: data must be object."),
        ("{}", "is wrong: data must be object."),
        (None, "is wrong: data must be object."),
    ],
)
def test_refusal_names_the_fault_and_what_is_allowed(given: object, found: str) -> None:
    with pytest.raises(InputRefused) as caught:
        parse_request({"execution": EXECUTION, "input": given})
    assert str(caught.value).startswith(f"The execution's input {found} Start the execution with {{}} or with what")
    assert "full_read: list of tables of totesys to read in full" in str(caught.value)


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
