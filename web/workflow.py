"""Parses a state machine's definition into the parts that a drawing needs."""

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
    """A state.

    Attributes:
        kind: its Type, for instance `Task`; FOLDED if it replaces other states.
        comment: its Comment in the definition, or empty.
        function: the name of the function that it calls, or None.
        holds: the states that it replaces, if it is FOLDED.
    """

    name: str
    kind: str
    comment: str = ""
    function: str | None = None
    holds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Transition:
    """A transition between two states. Its `kind` is NEXT, CHOICE, DEFAULT or CATCH."""

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
    """Parses a definition in Amazon States Language. A Map or Parallel becomes one state, without its inner states."""
    states = {name: _state(name, state) for name, state in document["States"].items()}
    found = [way for name, state in document["States"].items() for way in _transitions(name, state)]
    # Keeps only the first transition between two states, so an error's only if there is no other.
    first = {(way.source, way.target): way for way in reversed(found)}
    return Workflow(document["StartAt"], states, tuple(way for way in found if first[way.source, way.target] is way))


def _state(name: str, state: Mapping[str, Any]) -> State:
    function = state.get("Parameters", {}).get("FunctionName")
    # In a deployed definition, it is an ARN.
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
