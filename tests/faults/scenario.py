"""The scenario: the environment of a catalogue's row, and the declaration of a row.

    @fault("F08", "an UPDATE leaves last_updated alone", HEAL)
    def test_f08_silent_update_adds_a_version(scenario: Scenario) -> None:
        scenario.totesys("UPDATE sales_order SET units_sold = 1 WHERE sales_order_id = 7")
        scenario.run()

The outcome is derived from the executions and compared with the declared one. Invariants are checked after the body,
and again after one more run that must find nothing to do.
"""

import contextlib
import functools
import inspect
import io
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pg8000.dbapi
import pytest
from moto.sns.exceptions import InternalError
from moto.sns.models import SNSBackend

from local.aws import provision
from local.aws.deployment import Deployment
from local.lambda_runtime.runtime import Function, Invoker, InvokeResult, LambdaRuntime
from local.stack import Mail, Stack
from tests.faults.invoker import InProcess, Switchboard
from tests.faults.outcome import (
    Effect,
    Execution,
    Outcome,
    classify,
    contradictions,
    mails_due,
    output_of,
    read_history,
)
from tests.support import moto_inside
from tests.support.injection import Action, Countdown
from tests.support.loaded import on as on
from tests.support.model import HistoryChecker
from tests.support.pipeline import Pipeline, physical_rows
from tests.support.redrives import redriving
from totes.alerts.executions import readable

HEAL, HOLD, WARN, NOOP = Outcome
PATIENCE = 60


@dataclass
class Scenario:
    """A test's pipeline, which the state machine runs.

    Attributes:
        log: the functions' logs, as JSON lines.
        waits: the seconds that the state machine would have waited before each retry.
        executions: all executions that have ended, in that order.
        seen: the outcome, after the test's body.
    """

    stack: Stack
    pipeline: Pipeline
    history_checker: HistoryChecker
    switchboard: Switchboard
    in_process: InProcess
    log: io.StringIO
    waits: list[float]
    executions: list[Execution] = field(default_factory=list)
    seen: Outcome | None = None
    _started: dict[str, Effect] = field(default_factory=dict)
    _mute: bool = False

    def __post_init__(self) -> None:
        self._mails_before = len(self.stack.mails())

    def run(self, input: dict[str, Any] | None = None) -> Execution:
        """Runs one execution, from its start to its end."""
        return self.wait(self.start(input))

    def start(self, input: dict[str, Any] | None = None, name: str | None = None) -> str:
        """Starts an execution and returns its ARN, so that several can overlap."""
        before = self.effect()
        arn = self.stack.start_execution(json.dumps(input or {}), name or str(uuid.uuid4()))
        self._started.setdefault(arn, before)
        return arn

    def wait(self, arn: str) -> Execution:
        """Waits until an execution has ended, and records it."""
        ended = self.stack.wait(arn, PATIENCE)
        events = moto_inside.history(arn)
        path, retried = read_history(events)
        if ended["status"] != "SUCCEEDED":
            self.ended(arn, ended["status"])
        execution = Execution(
            arn=arn,
            status=ended["status"],
            error=ended.get("error", ""),
            cause=readable(ended.get("cause")) or "",
            path=path,
            retried=retried,
            output=output_of(ended),
            mails=[mail for mail in self.mails if is_about(arn, mail)],
            remedy=self._remedy(arn, ended.get("error", "")),
            unsent=self._mute,
            ended=datetime.fromisoformat(events[-1]["timestamp"]),
            before=self._started[arn],
            after=self.effect(),
        )
        self.executions.append(execution)
        return execution

    def redrive(self, execution: Execution) -> Execution:
        """Redrives an execution that has ended, and waits until it ends again."""
        with redriving(self.stack, execution.arn) as given:
            return self.run(json.loads(given))

    def ended(self, arn: str, status: str) -> None:
        """Calls the function behind the rule on ended executions, as EventBridge does."""
        detail = {"executionArn": arn, "status": status, "stateMachineArn": self.stack.names.state_machine_arn}
        self.stack.client("lambda").invoke(
            FunctionName=self.stack.names.function("watch"), Payload=json.dumps({"detail": detail}).encode()
        )

    def totesys(self, statement: str, *values: object) -> list[list[Any]]:
        """Runs and commits one statement in totesys, as its owner."""
        return self.pipeline.totesys(statement, *values)

    def star(self, statement: str, *values: object) -> list[list[Any]]:
        """Runs and commits one statement in the warehouse."""
        return self.pipeline.star(statement, *values)

    def session(self) -> contextlib.AbstractContextManager[pg8000.dbapi.Connection]:
        """Yields a connection to totesys as its owner, for a transaction that stays open."""
        return self.pipeline.connection(self.pipeline.source)

    @contextlib.contextmanager
    def instead(self, function: str, invoker: Invoker) -> Iterator[None]:
        """Sets another invoker for `ingest`, `transform` or `load` during the block."""
        with self.switchboard.instead(self.stack.names.function(function), invoker):
            yield

    @contextlib.contextmanager
    def before(self, function: str, action: Action, attempt: int = 1) -> Iterator[None]:
        """Acts just before the n-th attempt at `ingest`, `transform` or `load`."""
        countdown = Countdown(attempt, action)

        def invoke(name: str, event: dict[str, Any]) -> InvokeResult:
            countdown()
            return self.switchboard.usual(name, event)

        with self.instead(function, invoke):
            yield
        assert countdown.left <= 0, f"There was no attempt {attempt} at {function}: nothing was done before it."

    @contextlib.contextmanager
    def worker_processes(self, function: str, logs: Path, **limits: Any) -> Iterator[None]:
        """Runs a function as the stack does outside tests: in processes of their own, which can be killed.

        Args:
            limits: the function's limits, for instance `timeout=1`.
        """
        (deployed,) = (known for known in functions() if known.name == self.stack.names.function(function))
        runtime = LambdaRuntime(
            [Function(**vars(deployed) | {"environment": self._environment(deployed)} | limits)], logs
        )
        try:
            with self.instead(function, runtime):
                yield
        finally:
            runtime.close()

    @contextlib.contextmanager
    def mute(self) -> Iterator[None]:
        """Makes SNS refuse all messages during the block; the mails of executions that end in it are not awaited."""
        self._mute = True
        try:
            with mock.patch.object(SNSBackend, "publish", side_effect=InternalError("As the test says.")):
                yield
        finally:
            self._mute = False

    @property
    def mails(self) -> list[Any]:
        return self.stack.mails()[self._mails_before :]

    @property
    def environment(self) -> dict[str, str]:
        """Returns the settings that distinguish the functions from those of other tests."""
        return {
            "TOTES_LANDING_BUCKET": self.pipeline.landing_bucket,
            "TOTES_PROCESSED_BUCKET": self.pipeline.processed_bucket,
            "TOTES_SOURCE_SECRET": f"{self.pipeline.name}/source",
            "TOTES_WAREHOUSE_SECRET": f"{self.pipeline.name}/warehouse",
            "TOTES_DOCS": "docs",
            "TOTES_MAIL_INTERVALS": "1h,24h",
            "TOTES_CHAT": "false",
            "TOTES_ALERTS_TOPIC": self.stack.names.topic_arn,
        }

    def debrief(self, expected: Outcome) -> None:
        """Compares the results of a test's body with its declaration, and checks all six invariants."""
        assert self.executions, "the test ran nothing"
        self.seen = classify(self.executions)
        assert self.seen == expected, f"expected {expected}, seen {self.seen}: {self.executions[-1]}"
        found = contradictions(self.executions) + self._mail_violations() + self.history_checker.violations()
        assert not found, "after the fault:\n" + "\n".join(found)
        # If a run changes no object and no row, there can be no new violation.
        found = self.history_checker.quiet(self.run) + self._mail_violations()
        quiet = self.executions[-1]
        if not quiet.succeeded or quiet.path[-1] != "NothingNew":
            found.append(f"I6 the quiet run ended {quiet.status} by way of {quiet.path}: {quiet.cause}")
        assert not found, "after the quiet run:\n" + "\n".join(found)

    def _mail_violations(self) -> list[str]:
        found = [
            violation
            for execution, due in zip(self.executions, mails_due(self.executions), strict=True)
            for violation in execution.mail_violations(due)
        ]
        if len(self.mails) != sum(len(execution.mails) for execution in self.executions):
            found.append(f"I5 mails of no execution: {self.mails}")
        return found

    def effect(self) -> Effect:
        """Returns everything that executions have changed up to now."""
        # A new, empty table does not change the warehouse's content.
        rows = {table: digest for table, digest in physical_rows(self.pipeline).items() if digest}
        rows.pop("etl.schema_version", None)
        return Effect(frozenset(self.pipeline.objects()), rows)

    def _remedy(self, arn: str, error: str) -> str:
        raised = self.in_process.raised.get(arn)
        return getattr(raised, "remedy", "") if type(raised).__name__ == error else ""

    def _environment(self, function: Function) -> dict[str, str]:
        ours = self.environment
        return {name: ours.get(name, value) for name, value in function.environment.items()}


def is_about(arn: str, mail: Mail) -> bool:
    """Returns whether a mail leads to an execution; a mail that Report did not write does so by the ARN."""
    return f"totes explain {arn.rpartition(':')[2]}\n" in mail.message or arn in mail.message


def functions() -> list[Function]:
    """Returns the functions as serverless.yml declares them."""
    return provision.deployed_functions(Stack.names, Deployment(Stack.names.stage))


def fault(
    number: str, what: str, outcome: Outcome, *, because: str = "", nearest: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declares a test to be a row of the catalogue, or a part of one.

    Args:
        number: F01 to F73.
        what: the fault in a few words; the parts of a row may have different ones.
        outcome: the outcome that the test must see.
        because: the reason if the outcome differs from the catalogue's.
        nearest: the fault that is shown instead, if this one can't be made here.
    """

    def declare(test: Callable[..., None]) -> Callable[..., None]:
        assert test.__name__.startswith(f"test_{number.lower()}_"), f"{test.__name__} is not named after {number}"
        assert "scenario" in inspect.signature(test).parameters, f"{test.__name__} does not ask for the scenario"

        @pytest.mark.fault(number=number, what=what, outcome=outcome, because=because, nearest=nearest)
        # The message about a killed function, which Lambda prints.
        @pytest.mark.filterwarnings("ignore:No application metrics to publish")
        @functools.wraps(test)
        def small(*, scenario: Scenario, **given: Any) -> None:
            test(scenario=scenario, **given)
            scenario.debrief(outcome)

        made: Callable[..., None] = small
        return made

    return declare
