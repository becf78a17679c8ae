"""A state machine's definition, reduced to what a drawing of it needs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NEXT = "next"
CHOICE = "choice"
DEFAULT = "default"
CATCH = "catch"
FOLDED = "Folded"


@dataclass(frozen=True)
class State:
    """One state.

    Attributes:
        kind: its Type, for instance `Task`; FOLDED if it stands for other states.
        comment: what the definition says about it; empty where it says nothing.
        function: the name of the function that its task calls; None if it calls none.
        holds: the states that a folded one stands for.
    """

    name: str
    kind: str
    comment: str = ""
    function: str | None = None
    holds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Transition:
    """A way from one state to another; `kind` is NEXT, CHOICE, DEFAULT or CATCH."""

    source: str
    target: str
    kind: str


@dataclass(frozen=True)
class Workflow:
    """All states and transitions; at most one transition for each pair of states."""

    start: str
    states: Mapping[str, State]
    transitions: tuple[Transition, ...]


def parse_workflow(document: Mapping[str, Any]) -> Workflow:
    """A definition in Amazon States Language. Of a Map or a Parallel the inside is left out: it is one state here."""
    states = {name: _state(name, state) for name, state in document["States"].items()}
    found = [way for name, state in document["States"].items() for way in _transitions(name, state)]
    # Of several ways from one state to another the first is drawn, and so an error's only where there is no other.
    first = {(way.source, way.target): way for way in reversed(found)}
    return Workflow(document["StartAt"], states, tuple(way for way in found if first[way.source, way.target] is way))


def _state(name: str, state: Mapping[str, Any]) -> State:
    function = state.get("Parameters", {}).get("FunctionName")
    # Deployed, it is an ARN.
    return State(name, state["Type"], state.get("Comment", ""), function and function.rpartition(":")[2])


def _transitions(name: str, state: Mapping[str, Any]) -> Iterator[Transition]:
    if "Next" in state:
        yield Transition(name, state["Next"], NEXT)
    for choice in state.get("Choices", ()):
        yield Transition(name, choice["Next"], CHOICE)
    if "Default" in state:
        yield Transition(name, state["Default"], DEFAULT)
    for catcher in state.get("Catch", ()):
        yield Transition(name, catcher["Next"], CATCH)
