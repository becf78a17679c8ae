"""Folds states that don't matter now into one, so that a drawing is small enough for a phone.

Until an error is caught, all states that deal with one are *On failure*. Once it is, those that dealt with it are
drawn, and what was not reached of the usual way is *Not reached*.
"""

from collections.abc import Collection

from web.workflow import CATCH, FOLDED, State, Transition, Workflow

ON_FAILURE = "On failure"
NOT_REACHED = "Not reached"
_COMMENTS = {
    ON_FAILURE: "These states run when an error was caught: they send the e-mail and let the execution fail.",
    NOT_REACHED: "The execution failed before it came to these states.",
}

Ways = Collection[tuple[str, str]]


def failure_states(workflow: Workflow) -> set[str]:
    """Returns the states to which only a caught error leads."""
    usual, ahead = set(), [workflow.start]
    while ahead:
        name = ahead.pop()
        if name not in usual:
            usual.add(name)
            ahead += [way.target for way in workflow.transitions if way.source == name and way.kind != CATCH]
    return workflow.states.keys() - usual


def fold(workflow: Workflow, reached: Collection[str], taken: Ways) -> Workflow:
    """Returns what is worth drawing of a workflow.

    Args:
        reached: the states that an execution has entered.
        taken: the pairs of states between which it has passed.
    """
    on_failure = failure_states(workflow)
    if on_failure.isdisjoint(reached):
        return _folded(workflow, on_failure, ON_FAILURE, CATCH)
    ways = [way for way in workflow.transitions if way.source not in on_failure or (way.source, way.target) in taken]
    states = {name: state for name, state in workflow.states.items() if name not in on_failure or name in reached}
    ways = [way for way in ways if way.target in states]
    left = states.keys() - on_failure - set(reached)
    return _folded(Workflow(workflow.start, states, tuple(ways)), left, NOT_REACHED)


def _folded(workflow: Workflow, hidden: Collection[str], name: str, kind: str | None = None) -> Workflow:
    """Returns a workflow with some of its states as one, from which nothing leads.

    Args:
        kind: of the transitions to it; None: each as it was.
    """
    if not hidden:
        return workflow
    states = {each: state for each, state in workflow.states.items() if each not in hidden}
    holds = tuple(each for each in workflow.states if each in hidden)
    found: dict[tuple[str, str], Transition] = {}
    for way in workflow.transitions:
        if way.source in hidden:
            continue
        if way.target in hidden:
            way = Transition(way.source, name, kind or way.kind)
        found.setdefault((way.source, way.target), way)
    return Workflow(
        workflow.start, {**states, name: State(name, FOLDED, _COMMENTS[name], holds=holds)}, tuple(found.values())
    )
