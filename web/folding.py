"""Folds states that are irrelevant at present into one, so that a drawing fits on a phone.

Until an error is caught, one state *On failure* replaces all states that handle errors. After that, the handling
states that ran are drawn, and one state *Not reached* replaces the states of the usual path that did not run.
"""

from collections.abc import Collection

from web.workflow import CATCH, FOLDED, State, Transition, Workflow

ON_FAILURE = "On failure"
NOT_REACHED = "Not reached"
_COMMENTS = {
    ON_FAILURE: "These states run after an error: they send the e-mail and let the execution fail.",
    NOT_REACHED: "The execution failed before it reached these states.",
}

Ways = Collection[tuple[str, str]]


def failure_states(workflow: Workflow) -> set[str]:
    """Returns the states that are reached only after a caught error."""
    usual, ahead = set(), [workflow.start]
    while ahead:
        name = ahead.pop()
        if name not in usual:
            usual.add(name)
            ahead += [way.target for way in workflow.transitions if way.source == name and way.kind != CATCH]
    return workflow.states.keys() - usual


def fold(workflow: Workflow, reached: Collection[str], taken: Ways) -> Workflow:
    """Returns the workflow to draw.

    Args:
        reached: the states that the execution has entered.
        taken: the transitions that it took, as pairs of states.
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
    """Returns a workflow in which one state without transitions replaces the hidden states.

    Args:
        kind: the kind of the transitions to it; None means each keeps its kind.
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
