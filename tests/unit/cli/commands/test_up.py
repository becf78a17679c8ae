import io
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.commands.up import ROOM, seed_if_empty
from cli.deployment import Target
from cli.main import main
from cli.render.terminal import Screen
from local.business.amendments import Amendment
from local.business.simulator import DayReport, Simulator
from local.business.trading import last_closed_day
from local.state import claimed_home, publish
from tests.unit.local.test_state import STATE

MONDAY = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)


class Stack:
    """A stack whose totesys stays connected."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def connect_source(self) -> "Stack":
        return self

    def close(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Connectable:
    def connect(self, _database: str) -> "Stack":
        return Stack(None)


def seeded(totesys: Any, now: datetime, ago: int) -> str:
    console = Screen(file=io.StringIO(), width=100, record=True)
    seed_if_empty(Stack(totesys), console, now, ago)  # type: ignore[arg-type]
    return console.export_text()


def newest(totesys: Any) -> datetime:
    cursor = totesys.cursor()
    cursor.execute("SELECT greatest(max(created_at), max(last_updated)) FROM payment")
    found: datetime = cursor.fetchone()[0]
    return found


@pytest.mark.parametrize(("ago", "day"), [(0, "Fri 2026-11-27"), (1, "Thu 2026-11-26"), (ROOM, "Fri 2026-11-20")])
def test_history_ends_by_the_clock(totesys: Any, ago: int, day: str) -> None:
    left = f": {ago} working days are left to simulate" if ago else ""
    assert seeded(totesys, MONDAY, ago) == f"Seeded totesys: 48,066 rows in 11 tables, until {day}{left}.\n"
    assert f"{newest(totesys):%a %F}" == day


def test_simulated_days_come_up_to_today_and_no_further(totesys: Any) -> None:
    seeded(totesys, MONDAY, ROOM)
    assert Simulator(totesys).days_until(last_closed_day(MONDAY)) == ROOM
    reports = Simulator(totesys).run(ROOM)
    assert Simulator(totesys).days_until(last_closed_day(MONDAY)) == 0
    assert reports[-1].day == date(2026, 11, 27)
    assert newest(totesys).replace(tzinfo=UTC) < MONDAY


def test_source_that_was_seeded_yesterday_goes_on_today(totesys: Any) -> None:
    seeded(totesys, MONDAY - timedelta(days=1), 0)
    before = newest(totesys)
    assert seeded(totesys, MONDAY + timedelta(days=40), 0) == ""
    assert newest(totesys) == before
    assert Simulator(totesys).run(1)[0].day == date(2026, 11, 30)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many working days are left until the last complete one."""
    amended = [Amendment("sales_order", number, "staff_id") for number in range(1, 8)]

    def run(_simulator: object, days: int, progress: Callable[[DayReport], None]) -> None:
        progress(DayReport(date(2024, 11, 18), amended=amended[:days]))

    monkeypatch.setattr(Target, "stack", lambda _: Connectable())
    monkeypatch.setattr(Simulator, "run", run)
    return lambda count: monkeypatch.setattr(Simulator, "days_until", lambda *_: count)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (
            0,
            "totesys has reached {}: wait for the next one to end at 19:00 UTC, or simulate future days with --ahead.",
        ),
        (1, "Only 1 working day is left until {}: use --days 1, wait for the next one to end at 19:00 UTC, or"),
        (2, "Only 2 working days are left until {}: use --days 2, wait for the next one to end at 19:00 UTC, or"),
    ],
)
def test_day_that_is_not_over_is_refused(
    left: Callable[[int], None], capsys: pytest.CaptureFixture[str], days: int, said: str
) -> None:
    left(days)
    assert main(["simulate", "--days", "3"]) == 2
    last = f"{last_closed_day(datetime.now(UTC)):%A, %F}, the last working day that is over"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"totes: {said.format(last)}")


@pytest.mark.parametrize(("line", "days"), [("--days 3 --ahead", 0), ("--days 3", 3)])
def test_days_pass_if_they_are_over_or_asked_for(left: Callable[[int], None], line: str, days: int) -> None:
    left(days)
    assert main(["simulate", *line.split()]) == 0


def test_what_was_amended_is_named(left: Callable[[int], None], capsys: pytest.CaptureFixture[str]) -> None:
    left(7)
    assert main(["simulate", "--days", "7"]) == 0
    assert "Amended: sales order 1 (staff id), sales order 2 (staff id)," in capsys.readouterr().out.replace("\n", " ")
    assert main(["simulate", "--days", "7"]) == 0
    assert capsys.readouterr().out.endswith("sales order 5 (staff id) and 2 more.\n")


@pytest.mark.parametrize("busy", ["home", "port"])
def test_what_is_taken_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], busy: str
) -> None:
    monkeypatch.setenv("TOTES_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "local.stack", None)  # an import would fail
    with socket.create_server(("127.0.0.1", 0)) as taken, ExitStack() as running:
        if busy == "home":
            publish(STATE, running.enter_context(claimed_home(tmp_path)))
        assert main(["up", "--port", str(taken.getsockname()[1])]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    expected = "A stack already runs in" if busy == "home" else "Port "
    assert captured.err.startswith(f"totes: {expected}")
