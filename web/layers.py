"""Assigns a drawing's states to rows and orders each row, the first half of the layout.

A state's row is the length of the longest path to it, so that all transitions lead down, except those that close a
loop. A transition that passes rows gets a place in each of them, so that no state is in its way. The order of rows is
improved until few transitions cross (the method of Sugiyama, Tagawa and Toda, from several starting orders).
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
    """A place in a row: a state, or a passing transition.

    Attributes:
        name: the state's name; empty for a transition.
        passing: the transition; None for a state.
        row: the row's number, which distinguishes a transition's places; 0 for a state.
    """

    name: str = ""
    passing: Transition | None = None
    row: int = 0


@dataclass
class Layers:
    """The rows, and each transition's places, both from top to bottom.

    Attributes:
        leading_up: the transitions that close a loop, and so pass their places from bottom to top.
    """

    rows: list[list[Place]]
    routes: dict[Transition, tuple[Place, ...]]
    leading_up: set[Transition]

    def steps(self) -> Iterator[tuple[Transition, Place, Place]]:
        """Yields every segment of a transition from one row to the next."""
        for transition, route in self.routes.items():
            for upper, lower in pairwise(route):
                yield transition, upper, lower


def arrangements(workflow: Workflow) -> list[Layers]:
    """Returns the arrangements with the fewest crossings found.

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
    """Returns the number of crossings between rows."""
    return sum(_crossings(layers.rows, steps) for steps in _steps_by_row(layers))


def _sorted_downwards(workflow: Workflow) -> tuple[list[str], set[Transition]]:
    """Returns the states, each before the ones below it, and the transitions that lead up.

    In a loop, the transitions to an earlier declared state lead up, because a definition is read from the top.
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
    """Orders each row by its neighbours' positions, sweeping down and up, and returns the best orders seen."""
    steps = _steps_by_row(layers)
    # A fixed seed gives the same drawing each time. No secret depends on it.
    chance = random.Random(0)  # noqa: S311  # nosec B311
    seen = {_frozen(layers.rows): crossings(layers)}
    for _ in range(BEGINNINGS):
        for _ in range(SWEEPS):
            _sweep(layers.rows, steps)
            if (rows := _frozen(layers.rows)) in seen:
                break  # the following orders have been seen, too
            seen[rows] = crossings(layers)
        for row in layers.rows:
            chance.shuffle(row)
    fewest = min(seen.values())
    best = [rows for rows, crossed in seen.items() if crossed == fewest]
    # A mirror image has as many crossings, and may start further left.
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
    """Sorts a row by the mean position of each place's neighbours in the adjacent row."""
    position = {place: number for number, place in enumerate(rows[beside])}
    found: dict[Place, list[int]] = {}
    for place, neighbour in links:
        found.setdefault(place, []).append(position[neighbour])
    # A place without neighbours there roughly keeps its position.
    mean = {
        place: sum(found[place]) / len(found[place]) if place in found else number
        for number, place in enumerate(rows[index])
    }
    rows[index].sort(key=mean.__getitem__)


def _swap_neighbours(rows: list[list[Place]], steps: list[list[tuple[Place, Place]]]) -> None:
    """Swaps adjacent places if that saves a crossing."""
    for index, row in enumerate(rows):
        touching = steps[max(index - 1, 0) : index + 1]
        for left in range(len(row) - 1):
            before = sum(_crossings(rows, links) for links in touching)
            row[left : left + 2] = reversed(row[left : left + 2])
            if sum(_crossings(rows, links) for links in touching) >= before:
                row[left : left + 2] = reversed(row[left : left + 2])


def _steps_by_row(layers: Layers) -> list[list[tuple[Place, Place]]]:
    """Returns the segments from each row to the next."""
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
