"""Lets a function examine the services it uses, for `totes doctor`: docs/adr/0030-a-function-examines-itself.md."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

_Context = TypeVar("_Context")
_Handler = Callable[[dict[str, Any], _Context], dict[str, Any]]


def answers_doctor(handler: "_Handler[_Context]") -> "_Handler[_Context]":
    """Returns a handler that only examines the services that it uses, if the event asks for that.

    It must be the outermost decorator: an examination is not the pipeline's work, so it is neither measured nor
    counted. The state machine's events can't ask for it: an execution's input is inside one of their fields.
    """

    @wraps(handler)
    def answered(event: dict[str, Any], context: _Context) -> dict[str, Any]:
        if "doctor" not in event:
            return handler(event, context)
        # Imported here, so that a cold start does not pay for it.
        from totes.verify.doctor.inside import examine

        return examine(handler.__module__.rpartition(".")[2], event)

    return answered
