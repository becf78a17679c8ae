"""A state machine's definition, reduced to what a drawing of it needs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# In the order of their strength: of several ways from one state to another, the strongest is drawn.
NEXT = "next"
CHOICE = "choice"
DEFAULT = "default"
CATCH = "catch"
_STRENGTH = (NEXT, CHOICE, DEFAULT, CATCH)


@dataclass(frozen=True)
class State:
    """One state.

    Attributes:
        kind: its Type, for instance `Task`.
        comment: what the definition says about it; empty where it says nothing.
    """

    name: str
    kind: str
    comment: str = ""


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
    states = {name: State(name, state["Type"], state.get("Comment", "")) for name, state in document["States"].items()}
    found = [way for name, state in document["States"].items() for way in _transitions(name, state)]
    return Workflow(document["StartAt"], states, tuple(_strongest(found)))


def _transitions(name: str, state: Mapping[str, Any]) -> Iterator[Transition]:
    if "Next" in state:
        yield Transition(name, state["Next"], NEXT)
    for choice in state.get("Choices", ()):
        yield Transition(name, choice["Next"], CHOICE)
    if "Default" in state:
        yield Transition(name, state["Default"], DEFAULT)
    for catcher in state.get("Catch", ()):
        yield Transition(name, catcher["Next"], CATCH)


def _strongest(transitions: Iterable[Transition]) -> Iterable[Transition]:
    best: dict[tuple[str, str], Transition] = {}
    for way in sorted(transitions, key=lambda way: _STRENGTH.index(way.kind)):
        best.setdefault((way.source, way.target), way)
    return best.values()
