"""Ctrl-C while a command waits: the command says what continues without it, and returns 130."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from cli.deployment import Target
from cli.main import main
from local.business.simulator import DayReport
from totes.alerts.executions import Execution
from totes.runtime.names import Names

NAMES = Names("dev", "123456789012", "eu-west-2")
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ARN = "arn:aws:states:eu-west-2:123456789012:execution:totes-dev-pipeline:one"
FAILED = Execution(ARN, "one", "FAILED", NOW, NOW, input="{}")
OPTIONS = "--stage dev --profile it's"
FOLLOW = "totes --stage dev --profile 'it'\"'\"'s' logs one --follow"

Told = Callable[[str], tuple[int, str, str]]


def interrupt(*_given: object, **_more: object) -> Any:
    raise KeyboardInterrupt


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs a command line on a stage whose executions never end; returns the exit code, stdout and stderr."""
    monkeypatch.setattr(Target, "connect", lambda _: NAMES)
    monkeypatch.setattr("cli.commands.run.start", lambda *_: ARN)
    monkeypatch.setattr("cli.commands.redrive.start", lambda *_: ARN)
    monkeypatch.setattr("cli.commands.redrive.named", lambda *_: ARN)
    monkeypatch.setattr("cli.commands.redrive.describe", lambda _: FAILED)
    monkeypatch.setattr("cli.commands.redrive.newest", lambda _: FAILED)
    monkeypatch.setattr("cli.render.follow.describe", interrupt)

    def run(line: str) -> tuple[int, str, str]:
        code = main(line.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.mark.parametrize("command", ["run", "run --json", "redrive one", "redrive one --json"])
def test_followed_execution_continues(told: Told, command: str) -> None:
    code, shown, complaint = told(f"{OPTIONS} {command}")
    assert (code, complaint) == (130, f"totes: Execution one continues without you. Follow it with `{FOLLOW}`.\n")
    assert shown == "" if "--json" in command else "SUCCEEDED" not in shown


@pytest.mark.parametrize("command", ["run", "redrive one"])
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("cli.deployment.Target.connect", "Nothing was started."),
        ("cli.commands.{}.start", "An execution may have been started. If so, `totes --stage dev status` lists it."),
    ],
    ids=["before", "meanwhile"],
)
def test_interrupted_start_says_what_became_of_it(
    told: Told, monkeypatch: pytest.MonkeyPatch, command: str, place: str, said: str
) -> None:
    monkeypatch.setattr(place.format(command.partition(" ")[0]), interrupt)
    assert told(f"--stage dev {command} --json") == (130, "", f"totes: {said}\n")


@pytest.mark.parametrize(
    ("command", "place", "said"),
    [
        ("demo", "cli.commands.demo.temporary_stack", "totes: Stopped before the end. Nothing is left behind.\n"),
        (
            "drill --no-page",
            "cli.commands.drill.temporary_stack",
            "totes: Stopped before the end. Nothing is left behind.\n",
        ),
        ("up --no-page", "local.stack.Stack", "Stopped. Nothing is left behind.\n"),
    ],
)
def test_terminated_stack_says_that_it_has_stopped(
    told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, place: str, said: str
) -> None:
    def terminate(*_given: object, **_more: object) -> Any:
        raise SystemExit(143)

    monkeypatch.setattr(place, terminate)
    monkeypatch.setattr("cli.commands.up.check_free", lambda _: None)
    with pytest.raises(SystemExit, match="143"):
        told(command)
    captured = capsys.readouterr()
    assert (captured.out + captured.err).endswith(said)


def test_local_stack_needs_no_options(told: Told) -> None:
    assert told("run")[2].endswith(" Follow it with `totes logs one --follow`.\n")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("RUNNING", (130, f"totes: Execution one still runs. Follow it again with `{FOLLOW}`.\n")),
        ("SUCCEEDED", (0, "")),
    ],
)
def test_followed_log_says_whether_the_execution_runs(
    told: Told, monkeypatch: pytest.MonkeyPatch, status: str, outcome: tuple[int, str]
) -> None:
    monkeypatch.setattr("cli.commands.logs.newest", lambda _: FAILED)
    monkeypatch.setattr("cli.commands.logs.read_lines", interrupt)
    monkeypatch.setattr("cli.commands.logs.describe", lambda _: replace(FAILED, status=status))
    code, _, complaint = told(f"{OPTIONS} logs --follow")
    assert (code, complaint) == outcome


@pytest.mark.parametrize("command", ["demo", "drill --no-page"])
def test_temporary_stack_is_gone(told: Told, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    @contextmanager
    def stack(_console: object) -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    for module in ("demo", "drill"):
        monkeypatch.setattr(f"cli.commands.{module}.temporary_stack", stack)
    assert told(command) == (130, "", "totes: Stopped before the end. Nothing is left behind.\n")


def test_simulated_days_that_have_passed_stay(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    class Simulator:
        def __init__(self, *_given: object, **_more: object) -> None: ...

        def days_until(self, _last: date) -> int:
            return 3

        def run(self, _days: int, progress: Callable[[DayReport], None]) -> None:
            progress(DayReport(date(2026, 11, 30)))
            raise KeyboardInterrupt

    class Stack:
        def connect(self, _database: str) -> "Stack":
            return self

        def close(self) -> None: ...

    monkeypatch.setattr(Target, "stack", lambda _: Stack())
    monkeypatch.setattr("local.business.simulator.Simulator", Simulator)
    code, _, complaint = told("simulate --days 3")
    assert (code, complaint.count("\n")) == (130, 1)
    assert "Stopped: totesys has 1 of 3 days, and a part of the next one." in complaint
