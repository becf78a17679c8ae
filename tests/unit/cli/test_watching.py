import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from botocore.exceptions import EndpointConnectionError
from rich.console import Console

from cli.errors import Misused
from cli.watching import watch

AT_ONCE = timedelta(0)


def looking(*answers: str | BaseException) -> Callable[[], str]:
    """Returns views that end in these, one after another, and then in Ctrl-C."""
    left = iter([*answers, KeyboardInterrupt()])

    def look() -> str:
        answer = next(left)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return look


def frames(*answers: str | BaseException) -> list[str]:
    """Collects the frames that a terminal shows."""
    out = io.StringIO()
    console = Console(file=out, width=100, height=20, force_terminal=True, color_system=None, highlight=False)
    watch(console, looking(*answers), AT_ONCE)
    return out.getvalue().split("As of ")[1:]


def test_each_look_is_shown_with_its_time() -> None:
    first, second = frames("batch 1", "batch 2")[:2]
    assert first[:8].count(":") == 2
    assert " UTC, refreshed every 0 s, Ctrl-C stops it." in first
    assert "batch 1" in first
    assert "batch 2" in second


def test_look_that_fails_leaves_the_last_view_and_says_so() -> None:
    away = EndpointConnectionError(endpoint_url="http://127.0.0.1:5000")
    first, failed, gone, back = frames("batch 1", away, Misused("No stack runs."), "batch 2")[:4]
    assert "batch 1" in failed
    assert failed[:12] == first[:12]
    assert "The refresh at " in failed
    assert 'Could not connect to the endpoint URL: "http://127.0.0.1:5000' in failed
    assert "No stack runs." in gone
    assert "batch 2" in back
    assert "The refresh at" not in back


def test_first_look_that_fails_ends_it() -> None:
    with pytest.raises(Misused):
        frames(Misused("No stack runs."))


def test_bug_is_not_waited_out() -> None:
    with pytest.raises(ZeroDivisionError):
        frames("batch 1", ZeroDivisionError())


class InterruptedOnce:
    """Returns a view during whose first drawing somebody presses Ctrl-C."""

    def __init__(self) -> None:
        self.pressed = False

    def __rich__(self) -> str:
        if not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        return "batch 1"


def test_interrupt_while_a_view_is_drawn_ends_it_as_well() -> None:
    view = InterruptedOnce()
    watch(Console(file=io.StringIO(), force_terminal=True), lambda: view, AT_ONCE)
    assert view.pressed
