"""Gathers the page's data, and performs its buttons' actions."""

import json
import re
import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ParamValidationError

from cli.errors import CommandFailed, Misused
from cli.render.log_lines import LogLine
from cli.schedule import checked_reason, pause_schedule, resume_schedule
from cli.starting import unique_name
from totes.alerts.executions import RUNNING, Execution, StateRun, describe, latest, start
from totes.alerts.notice import notice_of
from web.folding import failure_states, fold
from web.graph import Graph, draw
from web.health import Health, failed_in_a_row, failed_state, health
from web.history import History, history
from web.lines import LineReader
from web.progress import Shown, Status, current_runs, progress, run_status, ways_taken
from web.standing import Standing, StandingReader
from web.workflow import State, Workflow, parse_workflow

if TYPE_CHECKING:
    from local.stack import Mail, Stack

NEWEST = 50
# Finds the execution's name in an e-mail. E-mails that Report did not write contain its ARN instead.
_NAMED = re.compile(r"(?:totes explain |:execution:[\w-]+:)([\w.-]+)$", re.MULTILINE)


class NoSuchExecution(CommandFailed):
    """The state machine has no execution with that name."""


@dataclass(frozen=True)
class SentMail:
    """An e-mail that was sent.

    Attributes:
        execution: the name of the execution that it is about, if known.
        at: when that execution ended, which is about when the e-mail was sent.
    """

    mail: "Mail"
    execution: str | None
    at: datetime | None


@dataclass(frozen=True)
class View:
    """The page's data at `now`.

    Attributes:
        workflow: all states.
        graph: the drawing, with irrelevant states folded.
        on_failure: the states that handle failures.
        executions: the newest executions, newest first.
        selected: the requested execution, else the newest one; None if there is none yet.
        pinned: whether the execution was requested.
        state: the requested state.
        shown: each drawn state's text.
        taken: the transitions that the selected execution took, as pairs of states.
        lines: the log lines of the state's function in the selected execution; None if it has no function.
        mails: the newest e-mails, newest first.
        next_start: when the schedule fires next; None if that is unknown.
    """

    now: datetime
    workflow: Workflow
    graph: Graph
    on_failure: Collection[str]
    executions: Sequence[Execution]
    selected: Execution | None
    pinned: bool
    state: State | None
    shown: Mapping[str, Shown]
    taken: set[tuple[str, str]]
    lines: Sequence[LogLine] | None
    standing: Standing
    mails: Sequence[SentMail]
    next_start: datetime | None

    @property
    def health(self) -> Health:
        return health(self.executions, self.standing, self.on_failure, self.now)

    @property
    def history(self) -> History:
        return history(self.executions, self.now)

    @property
    def failed(self) -> int:
        """Returns how many of the executions failed."""
        return sum(len(failed_in_a_row([execution])) for execution in self.executions)

    @property
    def failed_state(self) -> StateRun | None:
        """Returns the state that made the selected execution fail."""
        return failed_state(self.selected, self.on_failure) if self.selected else None

    @property
    def unmailed(self) -> list[Execution]:
        """Returns the failed executions without an e-mail, because they repeat an e-mailed failure."""
        return [execution for execution in self.executions if (notice := notice_of(execution)) and notice.repeats]

    @property
    def runs(self) -> list[StateRun]:
        """Returns the selected execution's runs of the requested state."""
        states = self.selected.states if self.selected else ()
        return [run for run in states if self.state and run.name == self.state.name]

    def status(self, run: StateRun) -> Status:
        """Returns the status of one of the selected execution's runs."""
        if self.selected is None:
            return Status.NOT_REACHED
        return run_status(run, self.selected, self.on_failure)


class Gatherer:
    """Makes views of a stack, and performs the page's actions. Thread-safe: one call at a time.

    Args:
        stack: must run until `close` is called.
    """

    def __init__(self, stack: "Stack") -> None:
        self._stack = stack
        self._names = stack.names
        self._lock = threading.Lock()
        self._closed = False
        self._over: dict[str, Execution] = {}
        self._standing = StandingReader(stack.names)
        self._lines = LineReader(stack.names)
        machine = stack.client("stepfunctions").describe_state_machine(stateMachineArn=self._names.state_machine_arn)
        self._workflow = parse_workflow(json.loads(machine["definition"]))
        self._on_failure = failure_states(self._workflow)
        self._drawings: dict[Hashable, Graph] = {}

    def view(self, execution: str | None = None, state: str | None = None) -> View:
        """Returns the page's data.

        Args:
            execution: an execution's name; None means the newest one.
            state: a state's name; an unknown name means no state.

        Raises:
            NoSuchExecution: no execution has that name.
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
            runs = current_runs(self._workflow, selected)
            taken = ways_taken(runs)
            drawn = fold(self._workflow, {run.name for run in runs}, taken)
            shown_state = drawn.states.get(state or "") or self._workflow.states.get(state or "")
            return View(
                now=now,
                workflow=self._workflow,
                graph=self._drawing(drawn),
                on_failure=self._on_failure,
                executions=executions,
                selected=selected,
                pinned=execution is not None,
                state=shown_state,
                shown=progress(self._workflow, drawn, selected, now),
                taken=taken,
                lines=self._lines.read(selected, shown_state) if selected and shown_state else None,
                standing=self._standing.read(),
                mails=self._mails(executions),
                next_start=self._stack.next_start,
            )

    def start(self, document: str) -> str:
        """Starts an execution and returns its name.

        Raises:
            Misused: the input is not a JSON object.
        """
        _check_input(document)
        with self._lock:
            self._check_open()
            name = unique_name("page")
            start(self._names, name, document)
            return name

    def start_again(self, execution: str) -> str:
        """Starts an execution with the same input as another one, and returns its name.

        Raises:
            NoSuchExecution: the other execution does not exist.
        """
        with self._lock:
            self._check_open()
            name = unique_name("again")
            start(self._names, name, self._found(execution).input)
            return name

    def pause(self, reason: str) -> None:
        """Pauses the schedule. The reason may be empty.

        Raises:
            Misused: the reason is too long.
        """
        said = checked_reason(reason, "The reason") if reason.strip() else None
        with self._lock:
            self._check_open()
            pause_schedule(self._names, said)
            self._standing.forget()

    def resume(self) -> None:
        """Resumes the schedule."""
        with self._lock:
            self._check_open()
            resume_schedule(self._names)
            self._standing.forget()

    def close(self) -> None:
        """Waits for running calls, and rejects all later ones."""
        with self._lock:
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise CommandFailed("The stack is stopping.")

    def _described(self, arn: str) -> Execution:
        """Returns an execution with its states. Reads an ended execution only once."""
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

    def _drawing(self, drawn: Workflow) -> Graph:
        """Returns a folded workflow's drawing. Caches the drawings: they are few, and slow to compute."""
        key = (*drawn.states, *drawn.transitions)
        if key not in self._drawings:
            self._drawings[key] = draw(drawn)
        return self._drawings[key]

    def _mails(self, executions: Sequence[Execution]) -> list[SentMail]:
        ended = {execution.name: execution.stopped for execution in executions}
        mails = []
        for mail in self._stack.mails()[: -NEWEST - 1 : -1]:
            found = _NAMED.search(mail.message)
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
