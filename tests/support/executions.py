"""Changes the executions of a stack: forgets them between tests, and makes them run at other times."""

import datetime
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from moto.stepfunctions.parser import models
from moto.stepfunctions.parser.asl.eval.event import event_manager
from moto.stepfunctions.parser.backend import execution

from local.stack import NAMES


def forget_executions() -> None:
    """Makes the next failure the first one: earlier executions decide which e-mails are due."""
    backend = models.stepfunctions_parser_backends[NAMES.account][NAMES.region]
    backend.describe_state_machine(NAMES.state_machine_arn).executions.clear()


@contextmanager
def later(length: datetime.timedelta) -> Iterator[None]:
    """Makes Step Functions' clock show a later time while executions run."""

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return datetime.datetime.now(tz) + length

    clock = SimpleNamespace(**vars(datetime) | {"datetime": Later})
    with ExitStack() as patched:
        for module in (models, event_manager, execution):
            patched.enter_context(mock.patch.object(module, "datetime", clock))
        yield
