"""The rules for any drawing, on the shipped workflow and on others that one may write."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from local.aws.deployment import STATE_MACHINE
from web.columns import GAP, columns
from web.graph import HEIGHT, Box, Graph, Line, draw
from web.layers import arrangements, crossings
from web.workflow import CATCH, CHOICE, DEFAULT, NEXT, State, Transition, Workflow, parse_workflow

SHIPPED = parse_workflow(json.loads(STATE_MACHINE.read_text(encoding="utf-8")))
KINDS = (NEXT, CHOICE, DEFAULT, CATCH)


def workflow(*ways: str, start: str = "a") -> Workflow:
    """Returns one of transitions like `a>b`, or `a!b` for one on an error."""
    found = [Transition(way[0], way[2], NEXT if way[1] == ">" else CATCH) for way in ways]
    names = dict.fromkeys([start, *itertools.chain.from_iterable((way.source, way.target) for way in found)])
    return Workflow(start, {name: State(name, "Task") for name in names}, tuple(found))


@some.composite
def workflows(draw_from: some.DrawFn) -> Workflow:
    names = [f"{number}" * draw_from(some.integers(1, 20)) for number in range(1, draw_from(some.integers(2, 10)))]
    name = some.sampled_from(names)
    pairs = draw_from(some.lists(some.tuples(name, name), unique=True, max_size=16))
    ways = [Transition(source, target, draw_from(some.sampled_from(KINDS))) for source, target in pairs]
    kinds = some.sampled_from(["Task", "Choice", "Succeed"])
    return Workflow(names[0], {name: State(name, draw_from(kinds)) for name in names}, tuple(ways))


def assert_well_drawn(given: Workflow) -> None:
    graph = draw(given)
    assert {box.state for box in graph.boxes} == set(given.states.values())
    assert sorted(map(str, (line.transition for line in graph.lines))) == sorted(map(str, given.transitions))
    boxes = {box.state.name: box for box in graph.boxes}
    for one, other in itertools.combinations(graph.boxes, 2):
        assert apart(one, other), f"{one.state.name} covers {other.state.name}"
    for line in graph.lines:
        assert_joins(line, boxes)
        for box in graph.boxes:
            assert not crosses(line, box), f"{line.transition} runs through {box.state.name}"
    assert_inside(graph)


def apart(one: Box, other: Box) -> bool:
    gap = GAP - 1  # places are rounded to whole pixels
    beside = one.x + one.width + gap <= other.x or other.x + other.width + gap <= one.x
    return beside or one.y + one.height < other.y or other.y + other.height < one.y


def assert_joins(line: Line, boxes: dict[str, Box]) -> None:
    source, target = boxes[line.transition.source], boxes[line.transition.target]
    if source is target:
        assert {x for x, _ in (line.points[0], line.points[-1])} == {source.x + source.width}
        return
    down = source.y < target.y
    assert line.points[0] == (source.middle, source.y + HEIGHT * down)
    assert line.points[-1] == (target.middle, target.y + HEIGHT * (not down))


def crosses(line: Line, box: Box) -> bool:
    """Returns whether a line touches the inside of a box. A bend stays within the rectangle of its ends."""
    return any(
        min(x, next_x) < box.x + box.width
        and box.x < max(x, next_x) + 1e-9
        and min(y, next_y) < box.y + box.height
        and box.y < max(y, next_y)
        for (x, y), (next_x, next_y) in itertools.pairwise(line.points)
    )


def assert_inside(graph: Graph) -> None:
    points = [point for line in graph.lines for point in line.points] + [graph.start]
    points += [(box.x, box.y) for box in graph.boxes]
    points += [(box.x + box.width, box.y + box.height) for box in graph.boxes]
    assert all(0 < x < graph.width and 0 < y < graph.height for x, y in points)


def test_shipped_workflow_is_well_drawn() -> None:
    assert_well_drawn(SHIPPED)


@settings(deadline=None, max_examples=60)
@given(workflows())
def test_any_workflow_is_well_drawn(given: Workflow) -> None:
    assert_well_drawn(given)


@pytest.mark.parametrize(
    "ways", [("a>c", "b>a", "c>b"), ("a>c", "b>a", "c>b", "c>d"), ("a>b", "a>d", "b>a", "c>b", "d>c")], ids=len
)
def test_loop_within_a_loop_is_well_drawn(ways: tuple[str, ...]) -> None:
    given = workflow(*ways)
    ordered = {name: given.states[name] for name in sorted(given.states)}
    assert_well_drawn(replace(given, states=ordered))


def test_same_workflow_gives_the_same_drawing() -> None:
    assert draw(SHIPPED) == draw(SHIPPED)


def test_shipped_workflow_fits_half_a_screen() -> None:
    graph = draw(SHIPPED)
    assert graph.width < 830
    assert graph.height < 900


def test_names_fit_their_boxes() -> None:
    long = "A state with a name that is rather long"
    given = Workflow(long, {long: State(long, "Choice")}, ())
    assert draw(given).boxes[0].width > 7 * len(long)


def longest_way(given: Workflow, name: str) -> list[str]:
    """Returns the transitions that lead on; a loop leads back."""
    order = list(given.states)
    ways = [
        way.target
        for way in given.transitions
        if way.source == name and way.kind != CATCH and order.index(way.target) > order.index(name)
    ]
    return [name, *max((longest_way(given, after) for after in ways), key=len, default=[])]


@pytest.mark.parametrize("given", [SHIPPED, workflow("a>b", "a!z", "b>c", "b!z", "c!z")], ids=["shipped", "small"])
def test_usual_way_is_one_straight_line_on_the_left(given: Workflow) -> None:
    graph = draw(given)
    boxes = {box.state.name: box for box in graph.boxes}
    usual = longest_way(given, given.start)
    assert len({boxes[name].middle for name in usual}) == 1
    assert all(boxes[name].x <= box.x for name in usual for box in graph.boxes)
    assert [boxes[name].y for name in usual] == sorted(boxes[name].y for name in usual)


def test_lines_are_untangled() -> None:
    ways = ["a>b", "a>c", "a>d", "b>g", "c>f", "d>e"]
    assert {crossings(layers) for layers in arrangements(workflow(*ways))} == {0}


def test_arrangements_to_choose_from_cross_equally_seldom() -> None:
    found = [crossings(layers) for layers in arrangements(SHIPPED)]
    assert len(found) > 1
    assert len(set(found)) == 1


def test_lines_that_have_to_cross_are_drawn_all_the_same() -> None:
    given = workflow("r>a", "r>b", "r>c", *(f"{upper}>{lower}" for upper in "abc" for lower in "xyz"))
    assert {crossings(layers) for layers in arrangements(given)} == {9}
    assert_well_drawn(given)


def test_of_equal_arrangements_the_narrowest_is_drawn() -> None:
    given = workflow("a>b", "b>c", "b>e", "b>d", "c>d", "d>f", "a!u", "c!v", "d!w", "u>x", "v>x", "w>x", "x>y", "x>z")
    widths = []
    for layers in arrangements(given):
        x = columns(given, layers, 100)
        widths.append(max(x.values()) - min(x.values()))
    boxes = draw(given).boxes
    assert len(set(widths)) > 1
    assert max(box.middle for box in boxes) - min(box.middle for box in boxes) <= min(widths) + 100


def test_loop_leads_back_up() -> None:
    graph = draw(workflow("a>b", "b>c", "c>a", "b>b"))
    points = {line.transition.source + line.transition.target: line.points for line in graph.lines}
    assert points["ca"][0][1] > points["ca"][-1][1]
    assert len(points["bb"]) == 3


def test_path_is_straight_or_bent_with_vertical_ends() -> None:
    line = Line(Transition("a", "b", NEXT), ((10, 0), (10, 40), (60, 70)))
    assert line.path == "M10 0V40C10 56.5 60 53.5 60 70"
