from typing import Any

import pytest

from web.workflow import CATCH, CHOICE, DEFAULT, NEXT, State, Transition, parse_workflow

END: dict[str, Any] = {"Type": "Succeed"}


def ways(**states: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = parse_workflow({"StartAt": next(iter(states)), "States": states})
    return sorted((way.source, way.target, way.kind) for way in found.transitions)


def test_every_kind_of_transition_is_read() -> None:
    task = {"Type": "Task", "Next": "c", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "d"}]}
    choice = {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsNull": True, "Next": "a"}], "Default": "d"}
    assert ways(a=task, c=choice, d=END) == [
        ("a", "c", NEXT),
        ("a", "d", CATCH),
        ("c", "a", CHOICE),
        ("c", "d", DEFAULT),
    ]


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ({"Next": "z", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "z"}]}, NEXT),
        ({"Catch": [{"ErrorEquals": ["A"], "Next": "z"}, {"ErrorEquals": ["States.ALL"], "Next": "z"}]}, CATCH),
        ({"Choices": [{"Next": "z"}, {"Next": "z"}], "Default": "z"}, CHOICE),
    ],
)
def test_of_several_ways_an_error_gives_way(state: dict[str, Any], kind: str) -> None:
    assert ways(a={"Type": "Task"} | state, z=END) == [("a", "z", kind)]


def test_states_keep_kind_and_comment() -> None:
    found = parse_workflow(
        {"StartAt": "a", "States": {"a": {"Type": "Pass", "Comment": "Why.", "Next": "z"}, "z": END}}
    )
    assert found.start == "a"
    assert found.states == {"a": State("a", "Pass", "Why."), "z": State("z", "Succeed")}
    assert found.transitions == (Transition("a", "z", NEXT),)


def test_inside_of_a_map_is_left_out() -> None:
    inside = {"StartAt": "i", "States": {"i": {"Type": "Pass", "Next": "j"}, "j": END}}
    assert ways(m={"Type": "Map", "ItemProcessor": inside, "Next": "z"}, z=END) == [("m", "z", NEXT)]
