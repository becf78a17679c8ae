"""Gathers what the page shows: executions, the three logs, the mails."""

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ParamValidationError

from cli.commands.pause import schedule_text
from cli.commands.run import unique_name
from cli.errors import EXPECTED, CommandFailed, Misused, one_line
from cli.progress import Freshness, LogHead, freshness, last_success, read_logs
from cli.schedule import read_schedule
from totes.alerts.executions import RUNNING, Execution, StateRun, describe, latest, start
from web.graph import Graph, draw
from web.progress import Shown, progress, ways_taken
from web.workflow import State, Workflow, parse_workflow

if TYPE_CHECKING:
    from local.stack import Mail, Stack

NEWEST = 50
# The logs are read this often at most: it takes a connection to the warehouse and a dozen calls.
LOGS_SECONDS = 1.0


class NoSuchExecution(CommandFailed):
    """The state machine knows no execution of that name."""


@dataclass(frozen=True)
class Logs:
    """Heads of the three logs, and the schedule's pause if any; `trouble` instead, where they can't be read."""

    heads: Sequence[LogHead] = ()
    success: Execution | None = None
    trouble: str | None = None
    pause: str | None = None

    def freshness(self, now: datetime) -> Freshness | None:
        return freshness(self.heads, self.success, now) if self.heads else None


@dataclass(frozen=True)
class SentMail:
    """An e-mail that was sent.

    Attributes:
        execution: the name of the execution that it speaks of.
        at: when that execution ended, and so about when the mail was sent.
    """

    mail: "Mail"
    execution: str | None
    at: datetime | None


@dataclass(frozen=True)
class View:
    """What the page shows at one moment.

    Attributes:
        executions: the newest, newest first.
        selected: the execution that was asked for, or the newest; None where there is none yet.
        pinned: whether it was asked for.
        state: the state that was asked for.
        shown: what each state shows.
        taken: between which states the selected execution has passed.
        mails: the newest, newest first.
    """

    now: datetime
    workflow: Workflow
    graph: Graph
    executions: Sequence[Execution]
    selected: Execution | None
    pinned: bool
    state: State | None
    shown: Mapping[str, Shown]
    taken: set[tuple[str, str]]
    logs: Logs
    mails: Sequence[SentMail]

    @property
    def runs(self) -> list[StateRun]:
        """The passes of the selected execution through the state that was asked for."""
        states = self.selected.states if self.selected else ()
        return [run for run in states if self.state and run.name == self.state.name]


class Gatherer:
    """Makes views of a stack, and starts executions in it; from any thread, one at a time.

    Args:
        stack: which must run until `close`.
    """

    def __init__(self, stack: "Stack") -> None:
        self._stack = stack
        self._names = stack.names
        self._lock = threading.Lock()
        self._closed = False
        self._over: dict[str, Execution] = {}
        self._logs = Logs()
        self._logs_due = 0.0
        machine = stack.client("stepfunctions").describe_state_machine(stateMachineArn=self._names.state_machine_arn)
        self._workflow = parse_workflow(json.loads(machine["definition"]))
        self._graph = draw(self._workflow)

    def view(self, execution: str | None = None, state: str | None = None) -> View:
        """What there is to see now.

        Args:
            execution: the name of one execution; None for the newest.
            state: the name of a state; one that does not exist is no state.

        Raises:
            NoSuchExecution: there is none of that name.
            CommandFailed: the stack is stopping.
        """
        with self._lock:
            self._check_open()
            newest = latest(self._names, NEWEST)
            arns = [found.arn for found in newest]
            executions = [self._described(arn) for arn in arns]
            selected = self._found(execution) if execution else next(iter(executions), None)
            kept = {*arns, selected.arn} if selected else set()
            self._over = {arn: known for arn, known in self._over.items() if arn in kept}
            now = datetime.now(UTC)
            return View(
                now=now,
                workflow=self._workflow,
                graph=self._graph,
                executions=executions,
                selected=selected,
                pinned=execution is not None,
                state=self._workflow.states.get(state or ""),
                shown=progress(self._workflow, selected, now),
                taken=ways_taken(selected),
                logs=self._read_logs(),
                mails=self._mails(executions),
            )

    def start(self, document: str) -> str:
        """Starts an execution and returns its name.

        Raises:
            Misused: the input is no JSON object.
        """
        _check_input(document)
        with self._lock:
            self._check_open()
            name = unique_name("page")
            start(self._names, name, document)
            return name

    def start_again(self, execution: str) -> str:
        """Starts an execution with the input of another one, and returns its name.

        Raises:
            NoSuchExecution: there is no other one of that name.
        """
        with self._lock:
            self._check_open()
            name = unique_name("again")
            start(self._names, name, self._found(execution).input)
            return name

    def close(self) -> None:
        """Waits until nothing is under way, and refuses from then on."""
        with self._lock:
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise CommandFailed("The stack is stopping.")

    def _described(self, arn: str) -> Execution:
        """An execution with its states. One that is over stays as it is, and is asked for once."""
        if arn in self._over:
            return self._over[arn]
        found = describe(arn)
        if found.status != RUNNING:
            self._over[arn] = found
        return found

    def _found(self, name: str) -> Execution:
        try:
            return self._described(self._arn(name))
        except (ClientError, ParamValidationError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else "InvalidArn"
            if code not in {"ExecutionDoesNotExist", "InvalidArn"}:
                raise
            raise NoSuchExecution(f"There is no execution {name}: the stack forgets them when it stops.") from None

    def _arn(self, name: str) -> str:
        return f"{self._names.state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"

    def _read_logs(self) -> Logs:
        if time.monotonic() >= self._logs_due:
            try:
                schedule = read_schedule(self._names)
                pause = schedule_text(schedule).plain if schedule.paused else None
                self._logs = Logs(read_logs(self._names), last_success(self._names), pause=pause)
            except EXPECTED as error:
                # The rest of the page is worth having without them.
                self._logs = Logs(trouble=one_line(error))
            self._logs_due = time.monotonic() + LOGS_SECONDS
        return self._logs

    def _mails(self, executions: Sequence[Execution]) -> list[SentMail]:
        ended = {execution.name: execution.stopped for execution in executions}
        mails = []
        for mail in self._stack.mails()[: -NEWEST - 1 : -1]:
            found = re.search(re.escape(self._arn("")) + r"([\w.-]*[\w-])", mail.message)
            name = found[1] if found else None
            mails.append(SentMail(mail, name, ended.get(name or "")))
        return mails


def _check_input(document: str) -> None:
    """Raises Misused if an execution can't be started with this input."""
    try:
        parsed = json.loads(document)
    except ValueError as error:
        raise Misused(f"The input is not JSON: {error}.") from None
    if not isinstance(parsed, dict):
        raise Misused(f"The input is {type(parsed).__name__} {document}, not a JSON object like {{}}.")
