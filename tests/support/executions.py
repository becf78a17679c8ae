"""Changes a stack's executions: forgets them between tests, and makes them happen at other times."""

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
    """Forgets earlier executions, which decide whether an e-mail is due: the next failure is then the first."""
    backend = models.stepfunctions_parser_backends[NAMES.account][NAMES.region]
    backend.describe_state_machine(NAMES.state_machine_arn).executions.clear()


@contextmanager
def later(length: datetime.timedelta) -> Iterator[None]:
    """Makes Step Functions' clock show a later time during the block."""

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return datetime.datetime.now(tz) + length

    clock = SimpleNamespace(**vars(datetime) | {"datetime": Later})
    with ExitStack() as patched:
        for module in (models, event_manager, execution):
            patched.enter_context(mock.patch.object(module, "datetime", clock))
        yield
