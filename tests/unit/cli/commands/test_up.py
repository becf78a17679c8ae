import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cli.commands.up import ROOM, seed_if_empty
from cli.deployment import Target
from cli.main import main
from cli.render.terminal import Screen
from local.business.simulator import DayReport, Simulator

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
    assert seeded(totesys, MONDAY, ago) == f"Seeded totesys: 48,066 rows in 11 tables, until {day}.\n"
    assert f"{newest(totesys):%a %F}" == day


def test_simulated_days_come_up_to_today_and_no_further(totesys: Any) -> None:
    seeded(totesys, MONDAY, ROOM)
    reports = Simulator(totesys).run(ROOM)
    assert reports[-1].day == date(2026, 11, 27)
    assert newest(totesys).replace(tzinfo=UTC) < MONDAY


def test_source_that_was_seeded_yesterday_goes_on_today(totesys: Any) -> None:
    seeded(totesys, MONDAY - timedelta(days=1), 0)
    before = newest(totesys)
    assert seeded(totesys, MONDAY + timedelta(days=40), 0) == ""
    assert newest(totesys) == before
    assert Simulator(totesys).run(1)[0].day == date(2026, 11, 30)


@pytest.mark.parametrize(("ahead", "said"), [(True, 1), (False, 0)], ids=["tomorrow", "long ago"])
def test_simulated_day_that_is_not_over_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ahead: bool, said: int
) -> None:
    day = datetime.now(UTC).date() + timedelta(days=1) if ahead else date(2024, 11, 18)

    def run(_simulator: object, _days: int, progress: Callable[[DayReport], None]) -> None:
        progress(DayReport(day))

    monkeypatch.setattr(Target, "stack", lambda _: Connectable())
    monkeypatch.setattr(Simulator, "run", run)
    assert main(["simulate", "--days", "1"]) == 0
    assert capsys.readouterr().out.count("is not over yet: the next execution warns") == said
