import re
from itertools import pairwise

from cli.report.drawing import BOX_HEIGHT, BOX_WIDTH, WIDTH, draw

LEFT, RIGHT = ["a", "b", "c"], ["x", "y", "z", "w"]
PAIRS = [("a", "z"), ("b", "y"), ("c", "x"), ("a", "y")]


def test_every_table_has_a_box_and_every_pair_a_line() -> None:
    drawing = draw(LEFT, RIGHT, PAIRS)
    boxes = {box.name: box for box in drawing.boxes}
    assert boxes.keys() == {*LEFT, *RIGHT}
    ends = [re.fullmatch(r"M(\S+) (\S+)C.* (\S+) (\S+)", line) for line in drawing.lines]
    for (start, end), found in zip(PAIRS, ends, strict=True):
        assert found
        x, y, far_x, far_y = map(float, found.groups())
        assert (x, y) == (boxes[start].x + BOX_WIDTH, boxes[start].y + BOX_HEIGHT / 2)
        assert (far_x, far_y) == (boxes[end].x, boxes[end].y + BOX_HEIGHT / 2)


def test_boxes_stay_apart_and_within_the_drawing() -> None:
    drawing = draw(LEFT, RIGHT, PAIRS)
    for column in ({box.y for box in drawing.boxes if box.x == x} for x in {box.x for box in drawing.boxes}):
        ordered = sorted(column)
        assert all(lower - upper >= BOX_HEIGHT for upper, lower in pairwise(ordered))
        assert ordered[0] >= 0
        assert ordered[-1] + BOX_HEIGHT <= drawing.height
    assert max(box.x for box in drawing.boxes) + BOX_WIDTH < WIDTH


def test_lines_cross_as_little_as_they_can() -> None:
    places = {box.name: box.y for box in draw(LEFT, RIGHT, PAIRS).boxes}
    assert sorted(RIGHT, key=lambda name: places[name]) == ["z", "y", "x", "w"]
