import json
from itertools import pairwise

import pytest

from local.aws.deployment import STATE_MACHINE
from tests.unit.web.test_graph import assert_well_drawn, workflow
from web.folding import NOT_REACHED, ON_FAILURE, failure_states, fold
from web.graph import draw
from web.workflow import CATCH, FOLDED, NEXT, Transition, Workflow, parse_workflow

SHIPPED = parse_workflow(json.loads(STATE_MACHINE.read_text(encoding="utf-8")))
SMALL = workflow("a>b", "a!x", "b>c", "b!y", "x>z", "y>z", "z>a")
# The remaining width on a telephone: 390 pixels, less the margins of the drawing.
TELEPHONE = 340
# The share of the letters' full size (page.css) that remains when a drawing is scaled down to that width.
LEGIBLE = 0.85


def walked(given: Workflow, *names: str) -> Workflow:
    return fold(given, names, set(pairwise(names)))


def test_states_that_only_an_error_leads_to_deal_with_failures() -> None:
    assert failure_states(SMALL) == {"x", "y", "z"}


def test_they_are_one_state_until_an_error_is_caught() -> None:
    folded = walked(SMALL, "a", "b")
    assert list(folded.states) == ["a", "b", "c", ON_FAILURE]
    assert folded.states[ON_FAILURE].holds == ("x", "y", "z")
    assert folded.states[ON_FAILURE].kind == FOLDED
    assert set(folded.transitions) == {
        Transition("a", "b", NEXT),
        Transition("b", "c", NEXT),
        Transition("a", ON_FAILURE, CATCH),
        Transition("b", ON_FAILURE, CATCH),
    }


def test_once_it_is_caught_only_what_was_not_reached_is_folded() -> None:
    folded = walked(SMALL, "a", "x", "z")
    assert list(folded.states) == ["a", "x", "z", NOT_REACHED]
    assert folded.states[NOT_REACHED].holds == ("b", "c")
    assert set(folded.transitions) == {
        Transition("a", NOT_REACHED, NEXT),
        Transition("a", "x", CATCH),
        Transition("x", "z", NEXT),
    }


def test_workflow_without_errors_is_drawn_whole() -> None:
    plain = workflow("a>b", "b>c")
    assert fold(plain, (), set()) == plain


ENDS = ("CauseIsJson?", "ReadCause", "Report", "MailDue?", "NotifyFailure", "Failed")


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("Ingest", "NewData?", "Transform", "Load", "MoreToDo?", "AnythingLoaded?", "Loaded"),
        ("Ingest", "IngestFailed", *ENDS),
        ("Ingest", "NewData?", "Transform", "TransformFailed", *ENDS),
        ("Ingest", "NewData?", "Load", "LoadFailed", *ENDS),
        ("Ingest", "NewData?", "Transform", "Load", "LoadFailed", *ENDS),
        ("Ingest", "NewData?", "Transform", "Load", "MoreToDo?", "Transform", "Load", "LoadFailed", *ENDS),
        ("Ingest", "IngestFailed", "CauseIsJson?", "QuoteCause", "Report", "ReportPlainly", "NotifyFailure", "Failed"),
    ],
    ids=lambda names: names[-7] if len(names) > 7 else "start",
)
def test_shipped_workflow_is_legible_on_a_telephone(names: tuple[str, ...]) -> None:
    folded = walked(SHIPPED, *names)
    assert_well_drawn(folded)
    assert draw(folded).width * LEGIBLE <= TELEPHONE
