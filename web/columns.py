"""Computes the x coordinates of a drawing, the second half of its layout.

First it joins places into columns, each on one vertical line: the main path from the start, then long transitions,
then as many others as possible. Each column starts as far to the left as its neighbours allow. Then columns move
towards the columns that they are linked with (after Brandes and Köpf).
"""

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from web.layers import Layers, Place
from web.workflow import CATCH, Transition, Workflow

GAP = 20.0
PULLS = 6


def columns(workflow: Workflow, layers: Layers, width: float) -> dict[Place, float]:
    """Returns the x of each place's centre. Places in a row don't overlap and have a gap between them.

    Args:
        width: a state's width. A passing transition has no width.
    """
    column_of = {place: number for number, place in enumerate(place for row in layers.rows for place in row)}
    linked_down: set[Place] = set()
    linked_up: set[Place] = set()
    for upper, lower in _most_urgent_first(layers, _main_way(workflow, layers)):
        if upper in linked_down or lower in linked_up:
            continue
        one, other = column_of[upper], column_of[lower]
        joined = {place: one if column == other else column for place, column in column_of.items()}
        if _order(layers, joined):
            column_of = joined
            linked_down.add(upper)
            linked_up.add(lower)
    return _placed(layers, column_of, width, column_of[Place(workflow.start)])


def _most_urgent_first(layers: Layers, main: set[Transition]) -> list[tuple[Place, Place]]:
    """Returns the steps that should be vertical, most important first. Transitions of caught errors go to the side."""

    def urgency(step: tuple[Transition, Place, Place]) -> tuple[bool, int]:
        transition, upper, lower = step
        return transition not in main, -(upper.passing is not None) - (lower.passing is not None)

    wanted = [step for step in layers.steps() if step[0].kind != CATCH or step[1].passing]
    return [(upper, lower) for _, upper, lower in sorted(wanted, key=urgency)]


def _main_way(workflow: Workflow, layers: Layers) -> set[Transition]:
    """Returns the longest path from the start without errors. Of equally long paths, the first declared one wins."""
    onward = [way for way in workflow.transitions if way.kind != CATCH and way not in layers.leading_up]
    onward = [way for way in onward if way.source != way.target]
    longest: dict[str, list[Transition]] = {}
    for row in reversed(layers.rows):
        for name in [place.name for place in row if place.passing is None]:
            ways = [[way, *longest[way.target]] for way in onward if way.source == name]
            longest[name] = max(ways, key=len, default=[])
    return set(longest[workflow.start])


def _order(layers: Layers, column_of: dict[Place, int]) -> list[int]:
    """Returns the columns from left to right; empty if two of them would have to cross."""
    left_of: dict[int, set[int]] = {column: set() for column in column_of.values()}
    for left, right in _side_by_side(layers):
        left_of[column_of[right]].add(column_of[left])
    try:
        return list(TopologicalSorter(left_of).static_order())
    except CycleError:
        return []


def _side_by_side(layers: Layers) -> Iterator[tuple[Place, Place]]:
    for row in layers.rows:
        yield from pairwise(row)


def _placed(layers: Layers, column_of: dict[Place, int], width: float, fixed: int) -> dict[Place, float]:
    order = _order(layers, column_of)
    apart = [
        (column_of[left], column_of[right], GAP + width * ((left.passing is None) + (right.passing is None)) / 2)
        for left, right in _side_by_side(layers)
    ]
    x = dict.fromkeys(order, 0.0)
    for column in order:
        x[column] = max([0.0, *(x[left] + gap for left, right, gap in apart if right == column)])
    links = [(column_of[upper], column_of[lower]) for _, upper, lower in layers.steps()]
    for column in (order[::-1] + order) * PULLS:
        if column != fixed:
            x[column] = _pulled(column, x, apart, links)
    return {place: x[column] for place, column in column_of.items()}


def _pulled(
    column: int, x: dict[int, float], apart: Sequence[tuple[int, int, float]], links: Sequence[tuple[int, int]]
) -> float:
    """Returns a column's preferred x: the mean of its linked columns, limited by its neighbours."""
    others = [upper if lower == column else lower for upper, lower in links if column in (upper, lower)]
    others = [other for other in others if other != column]
    if not others:
        return x[column]
    least = max([float("-inf"), *(x[left] + gap for left, right, gap in apart if right == column)])
    most = min([float("inf"), *(x[right] - gap for left, right, gap in apart if left == column)])
    return min(max(sum(x[other] for other in others) / len(others), least), most)
