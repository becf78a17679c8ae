"""Draws a relation between two sets of tables: two columns of boxes with lines between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# In pixels. Both columns and the gap fit on a phone.
BOX_WIDTH, BOX_HEIGHT, GAP, STEP = 128, 22, 84, 30
WIDTH = 2 * BOX_WIDTH + GAP + 2


@dataclass(frozen=True)
class Box:
    """A table's box: its name and top left corner."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """Boxes, and lines from left to right as SVG paths."""

    boxes: Sequence[Box]
    lines: Sequence[str]
    height: float


def draw(left: Sequence[str], right: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Drawing:
    """Returns the drawing. Orders the right column so that few lines cross."""
    places = {name: number for number, name in enumerate(left)}

    def pull(name: str) -> float:
        ends = [places[start] for start, end in pairs if end == name]
        return sum(ends) / len(ends) if ends else len(left)

    ordered = sorted(right, key=pull)
    height = max(len(left), len(right)) * STEP
    boxes = {
        **_column(left, 1, height),
        **_column(ordered, BOX_WIDTH + GAP + 1, height),
    }
    return Drawing(list(boxes.values()), [_line(boxes, start, end) for start, end in pairs], height)


def _column(names: Sequence[str], x: float, height: float) -> dict[str, Box]:
    share = height / len(names)
    return {
        name: Box(name, x, round(share * number + (share - BOX_HEIGHT) / 2, 1)) for number, name in enumerate(names)
    }


def _line(boxes: Mapping[str, Box], start: str, end: str) -> str:
    one, other = boxes[start], boxes[end]
    x, y, far_x, far_y = one.x + BOX_WIDTH, one.y + BOX_HEIGHT / 2, other.x, other.y + BOX_HEIGHT / 2
    middle = (x + far_x) / 2
    return f"M{x} {y}C{middle} {y} {middle} {far_y} {far_x} {far_y}"
