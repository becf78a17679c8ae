"""Draws a workflow as boxes and arrows. Deterministic: the same workflow gives the same drawing."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from web.columns import GAP, columns
from web.layers import Layers, Place, arrangements
from web.workflow import State, Transition, Workflow

# In pixels, for the font size of a state's name in page.css.
LETTER = 7.4
BESIDE_NAME = 36.0
NARROWEST = 150.0
HEIGHT = 40.0
BETWEEN_ROWS = 30.0
MARGIN = 14.0
ABOVE_START = 20.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A state's box: its top left corner and its size."""

    state: State
    x: float
    y: float
    width: float
    height: float = HEIGHT

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def outline(self) -> str:
        """Returns SVG path data. A Choice has pointed sides, an end state round ones, other states have corners."""
        x, y, right, bottom, half = self.x, self.y, self.x + self.width, self.y + self.height, self.height / 2
        if self.state.kind == "Choice":
            cut = 11
            return (
                f"M{x + cut:g} {y:g}H{right - cut:g}L{right:g} {y + half:g}L{right - cut:g} {bottom:g}"
                f"H{x + cut:g}L{x:g} {y + half:g}Z"
            )
        r = half if self.state.kind in {"Succeed", "Fail"} else 7
        arc = f"A{r:g} {r:g} 0 0 1"
        return (
            f"M{x + r:g} {y:g}H{right - r:g}{arc} {right:g} {y + r:g}V{bottom - r:g}{arc} {right - r:g} {bottom:g}"
            f"H{x + r:g}{arc} {x:g} {bottom - r:g}V{y + r:g}{arc} {x + r:g} {y:g}Z"
        )


@dataclass(frozen=True)
class Line:
    """A transition's line from source to target: straight beside boxes, curved between rows."""

    transition: Transition
    points: tuple[Point, ...]

    @property
    def path(self) -> str:
        """Returns SVG path data."""
        (x, y), *rest = self.points
        path = [f"M{x:g} {y:g}"]
        for next_x, next_y in rest:
            bend = (next_y - y) * 0.55
            curve = f"C{x:g} {y + bend:g} {next_x:g} {next_y - bend:g} {next_x:g} {next_y:g}"
            path.append(f"V{next_y:g}" if next_x == x else curve)
            x, y = next_x, next_y
        return "".join(path)


@dataclass(frozen=True)
class Graph:
    """A drawing. `start` is the beginning of the arrow to the first state."""

    width: float
    height: float
    start: Point
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def draw(workflow: Workflow) -> Graph:
    """Draws every state and transition of a workflow."""
    # An even width, so that its half is a whole number of pixels.
    width = 2 * round(max(NARROWEST, BESIDE_NAME + LETTER * max(len(name) for name in workflow.states)) / 2)
    drawings = [_drawing(workflow, layers, width) for layers in arrangements(workflow)]
    return min(drawings, key=_effort)


def _effort(graph: Graph) -> tuple[float, float, float]:
    """Returns a measure of how hard a drawing is to read: its width, its start's x, and its lines' sideways length."""
    sideways = sum(abs(x - next_x) for line in graph.lines for (x, _), (next_x, _) in pairwise(line.points))
    return graph.width, graph.start[0], sideways


def _drawing(workflow: Workflow, layers: Layers, width: float) -> Graph:
    x = columns(workflow, layers, width)
    left = min(x[place] - _half(place, width) for place in x)
    x = {place: round(at - left + MARGIN) for place, at in x.items()}
    top = {
        place: MARGIN + ABOVE_START + index * (HEIGHT + BETWEEN_ROWS)
        for index, row in enumerate(layers.rows)
        for place in row
    }
    start = Place(workflow.start)
    return Graph(
        width=max(x[place] + _half(place, width) for place in x) + MARGIN,
        height=max(top.values()) + HEIGHT + MARGIN,
        start=(x[start], top[start] - ABOVE_START),
        boxes=tuple(
            Box(state, x[Place(name)] - width / 2, top[Place(name)], width) for name, state in workflow.states.items()
        ),
        lines=tuple(_line(way, layers, x, top, width) for way in workflow.transitions),
    )


def _line(way: Transition, layers: Layers, x: Mapping[Place, float], top: Mapping[Place, float], width: float) -> Line:
    upper, *passed = layers.routes[way]
    if not passed:
        return Line(way, _loop(x[upper] + width / 2, top[upper]))
    lower = passed.pop()
    beside = [point for place in passed for point in ((x[place], top[place]), (x[place], top[place] + HEIGHT))]
    points = [(x[upper], top[upper] + HEIGHT), *beside, (x[lower], top[lower])]
    return Line(way, tuple(points[::-1] if way in layers.leading_up else points))


def _loop(right: float, top: float) -> tuple[Point, ...]:
    return (right, top + HEIGHT * 0.8), (right + GAP / 2, top + HEIGHT / 2), (right, top + HEIGHT * 0.2)


def _half(place: Place, width: float) -> float:
    return width / 2 if place.passing is None else 0.0
