"""The first half of a drawing: which states stand in one row, and in which order from left to right.

Rows are by longest path from the start, so that all transitions lead down, but for those that close a loop. One that
passes rows in between is given a place in each of them, so that nothing else stands in its way. Orders are improved
until few transitions cross (Sugiyama, Tagawa and Toda's method, from several beginnings).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from web.workflow import Transition, Workflow

SWEEPS = 6
BEGINNINGS = 160


@dataclass(frozen=True)
class Place:
    """What stands in a row: a state, or a transition that passes by.

    Attributes:
        name: of the state.
        passing: the transition; None for a state.
        row: tells the places of one transition apart; 0 for a state.
    """

    name: str = ""
    passing: Transition | None = None
    row: int = 0


@dataclass
class Layers:
    """Rows from top to bottom, and the places that each transition runs through, likewise from top to bottom.

    Attributes:
        leading_up: those transitions that close a loop, and so run through their places the other way.
    """

    rows: list[list[Place]]
    routes: dict[Transition, tuple[Place, ...]]
    leading_up: set[Transition]

    def steps(self) -> Iterator[tuple[Transition, Place, Place]]:
        """Every piece of a transition from a row to the next."""
        for transition, route in self.routes.items():
            for upper, lower in pairwise(route):
                yield transition, upper, lower


def arrangements(workflow: Workflow) -> list[Layers]:
    """Ways to arrange a workflow with as few crossings as could be had.

    A transition from a state to itself has a route of one place.
    """
    order, leading_up = _sorted_downwards(workflow)
    row_of = _rows(workflow, order, leading_up)
    rows: list[list[Place]] = [[] for _ in range(max(row_of.values()) + 1)]
    for name in order:
        rows[row_of[name]].append(Place(name))
    routes = {way: _route(way, row_of) for way in workflow.transitions}
    for route in routes.values():
        for place in route[1:-1]:
            rows[place.row].append(place)
    return _untangled(Layers(rows, routes, leading_up))


def crossings(layers: Layers) -> int:
    """How often transitions cross each other between rows."""
    return sum(_crossings(layers.rows, steps) for steps in _steps_by_row(layers))


def _sorted_downwards(workflow: Workflow) -> tuple[list[str], set[Transition]]:
    """The states, each before those that stand below it, and the transitions that lead up.

    In a loop these are the transitions to a state that is declared earlier, because a definition is read from the top.
    """
    onward: dict[str, list[Transition]] = {name: [] for name in workflow.states}
    for transition in workflow.transitions:
        onward[transition.source].append(transition)
    declared = {name: number for number, name in enumerate(workflow.states)}
    leading_up = {
        way
        for way in workflow.transitions
        if declared[way.target] <= declared[way.source] and way.source in _reached(way.target, onward)
    }
    below: dict[str, list[str]] = {name: [] for name in workflow.states}
    for way in workflow.transitions:
        upper, lower = (way.target, way.source) if way in leading_up else (way.source, way.target)
        if upper != lower:
            below[upper].append(lower)
    done: list[str] = []

    def visit(name: str) -> None:
        for lower in reversed(below[name]):
            if lower not in done:
                visit(lower)
        done.append(name)

    for name in (workflow.start, *workflow.states):
        if name not in done:
            visit(name)
    return done[::-1], leading_up


def _reached(start: str, onward: Mapping[str, Sequence[Transition]]) -> set[str]:
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += [way.target for way in onward[name]]
    return reached


def _rows(workflow: Workflow, order: Sequence[str], leading_up: set[Transition]) -> dict[str, int]:
    row = dict.fromkeys(order, 0)
    for name in order:
        for way in workflow.transitions:
            if way.source != way.target and name == (way.target if way in leading_up else way.source):
                lower = way.source if way in leading_up else way.target
                row[lower] = max(row[lower], row[name] + 1)
    return row


def _route(way: Transition, row_of: Mapping[str, int]) -> tuple[Place, ...]:
    if way.source == way.target:
        return (Place(way.source),)
    upper, lower = sorted((way.source, way.target), key=row_of.__getitem__)
    between = range(row_of[upper] + 1, row_of[lower])
    return (Place(upper), *(Place(passing=way, row=row) for row in between), Place(lower))


def _untangled(layers: Layers) -> list[Layers]:
    """Orders each row by where its neighbours stand, row by row down and up again, and keeps the best it has seen."""
    steps = _steps_by_row(layers)
    # With a seed, for the same drawing each time; there is no secret in it.
    chance = random.Random(0)  # noqa: S311  # nosec B311
    seen = {_frozen(layers.rows): crossings(layers)}
    for _ in range(BEGINNINGS):
        for _ in range(SWEEPS):
            _sweep(layers.rows, steps)
            if (rows := _frozen(layers.rows)) in seen:
                break  # the next rows have been seen, too
            seen[rows] = crossings(layers)
        for row in layers.rows:
            chance.shuffle(row)
    fewest = min(seen.values())
    best = [rows for rows, crossed in seen.items() if crossed == fewest]
    # A mirror image crosses as often, and may be the one that begins on the left.
    mirrored = [tuple(row[::-1] for row in rows) for rows in best]
    return [replace(layers, rows=[list(row) for row in rows]) for rows in dict.fromkeys([*best, *mirrored])]


def _frozen(rows: list[list[Place]]) -> tuple[tuple[Place, ...], ...]:
    return tuple(tuple(row) for row in rows)


def _sweep(rows: list[list[Place]], steps: list[list[tuple[Place, Place]]]) -> None:
    for index in range(1, len(rows)):
        _order(rows, index, index - 1, [(lower, upper) for upper, lower in steps[index - 1]])
    for index in reversed(range(len(rows) - 1)):
        _order(rows, index, index + 1, steps[index])
    _swap_neighbours(rows, steps)


def _order(rows: list[list[Place]], index: int, beside: int, links: list[tuple[Place, Place]]) -> None:
    """Sorts a row by the mean position of the places in the row beside it that each is linked with."""
    position = {place: number for number, place in enumerate(rows[beside])}
    found: dict[Place, list[int]] = {}
    for place, neighbour in links:
        found.setdefault(place, []).append(position[neighbour])
    # One that has no neighbour there stays about where it is.
    mean = {
        place: sum(found[place]) / len(found[place]) if place in found else number
        for number, place in enumerate(rows[index])
    }
    rows[index].sort(key=mean.__getitem__)


def _swap_neighbours(rows: list[list[Place]], steps: list[list[tuple[Place, Place]]]) -> None:
    """Swaps two that stand side by side wherever that saves a crossing."""
    for index, row in enumerate(rows):
        touching = steps[max(index - 1, 0) : index + 1]
        for left in range(len(row) - 1):
            before = sum(_crossings(rows, links) for links in touching)
            row[left : left + 2] = reversed(row[left : left + 2])
            if sum(_crossings(rows, links) for links in touching) >= before:
                row[left : left + 2] = reversed(row[left : left + 2])


def _steps_by_row(layers: Layers) -> list[list[tuple[Place, Place]]]:
    """For each row but the last, what leads from it to the next."""
    row_of = {place: index for index, row in enumerate(layers.rows) for place in row}
    found: list[list[tuple[Place, Place]]] = [[] for _ in layers.rows[1:]]
    for _, upper, lower in layers.steps():
        found[row_of[upper]].append((upper, lower))
    return found


def _crossings(rows: list[list[Place]], links: Sequence[tuple[Place, Place]]) -> int:
    position = {place: number for row in rows for number, place in enumerate(row)}
    ends = sorted((position[upper], position[lower]) for upper, lower in links)
    return sum(
        first[0] < second[0] and first[1] > second[1] for number, first in enumerate(ends) for second in ends[number:]
    )
