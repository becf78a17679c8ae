"""Gathers what the page shows, and does what its buttons say."""

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
# What a mail of the local stack says about where to look; one that Report did not write has the execution's ARN.
_NAMED = re.compile(r"(?:totes explain |:execution:[\w-]+:)([\w.-]+)$", re.MULTILINE)


class NoSuchExecution(CommandFailed):
    """The state machine knows no execution of that name."""


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
        workflow: all states.
        graph: the drawing, in which states that don't matter now are folded.
        on_failure: the states that deal with failures.
        executions: the newest, newest first.
        selected: the execution that was asked for, or the newest; None where there is none yet.
        pinned: whether it was asked for.
        state: the state that was asked for.
        shown: what each drawn state shows.
        taken: between which states the selected execution has passed.
        lines: what the state's function logged in the selected execution; None if it has no function.
        mails: the newest, newest first.
        next_start: when the schedule fires next; None where that isn't known.
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
        """How many of the executions have failed."""
        return sum(len(failed_in_a_row([execution])) for execution in self.executions)

    @property
    def failed_state(self) -> StateRun | None:
        """The state that made the selected execution fail."""
        return failed_state(self.selected, self.on_failure) if self.selected else None

    @property
    def unmailed(self) -> list[Execution]:
        """The executions whose failures were not mailed, because they repeat one that was."""
        return [execution for execution in self.executions if (notice := notice_of(execution)) and notice.repeats]

    @property
    def runs(self) -> list[StateRun]:
        """The passes of the selected execution through the state that was asked for."""
        states = self.selected.states if self.selected else ()
        return [run for run in states if self.state and run.name == self.state.name]

    def status(self, run: StateRun) -> Status:
        """The status of a state that the selected execution went through, or is in."""
        if self.selected is None:
            return Status.NOT_REACHED
        return run_status(run, self.selected, self.on_failure)


class Gatherer:
    """Makes views of a stack, and does what the page's buttons say; from any thread, one at a time.

    Args:
        stack: which must run until `close`.
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

    def pause(self, reason: str) -> None:
        """Stops the schedule, with a reason or an empty one.

        Raises:
            Misused: the reason is too long.
        """
        said = checked_reason(reason, "The reason") if reason.strip() else None
        with self._lock:
            self._check_open()
            pause_schedule(self._names, said)
            self._standing.forget()

    def resume(self) -> None:
        """Lets the schedule run again."""
        with self._lock:
            self._check_open()
            resume_schedule(self._names)
            self._standing.forget()

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

    def _drawing(self, drawn: Workflow) -> Graph:
        """The drawing of a folded workflow. Of one there are few, and each takes a while."""
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
