"""Lets a function examine what it reaches, for `totes doctor`: docs/adr/0030-a-function-examines-itself.md."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

_Context = TypeVar("_Context")
_Handler = Callable[[dict[str, Any], _Context], dict[str, Any]]


def answers_doctor(handler: "_Handler[_Context]") -> "_Handler[_Context]":
    """Returns a handler that examines what it reaches if the event asks for it, and does nothing else then.

    The outermost decorator: an examination is no work of the pipeline, so it is neither measured nor counted. The state
    machine's events never ask for it, because an execution's input is a field of theirs.
    """

    @wraps(handler)
    def answered(event: dict[str, Any], context: _Context) -> dict[str, Any]:
        if "doctor" not in event:
            return handler(event, context)
        # Only here: a cold start does not pay for it.
        from totes.verify.doctor.inside import examine

        return examine(handler.__module__.rpartition(".")[2], event)

    return answered
