import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cli.commands import logs
from cli.render.log_lines import LogLine
from cli.render.terminal import screen
from totes.alerts.executions import Execution
from totes.runtime.names import Names

NAMES = Names("dev", "123456789012", "eu-west-2")
NOW = datetime.now(UTC)
RUNS = Execution("arn", "one", "RUNNING", NOW - timedelta(hours=1), None)


def line(number: int, seconds: float) -> LogLine:
    return LogLine(str(number), NOW + timedelta(seconds=seconds), "ingest", "INFO", f"line {number}", None, {})


def test_following_shows_each_line_once_until_the_log_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, late = line(1, -9), line(2, -8), line(3, -8.5)
    over = replace(RUNS, status="SUCCEEDED", stopped=datetime.now(UTC))
    executions = iter([RUNS, RUNS, over, over])
    answers = iter([[first], [first, second], [first, second], [first, late, second]])
    asked: list[datetime | None] = []

    def read(_names: Names, execution: Execution, since: datetime | None) -> list[LogLine]:
        asked.append(since)
        return next(answers)

    monkeypatch.setattr(logs, "describe", lambda _: next(executions))
    monkeypatch.setattr(logs, "read_lines", read)
    monkeypatch.setattr(logs, "POLL_SECONDS", 0)
    looks = logs.new_lines(NAMES, "arn")
    # It is just over, and CloudWatch may still have lines to show.
    assert [next(looks) for _ in range(4)] == [[first], [second], [], [late]]
    monkeypatch.setattr(logs, "DELAY", timedelta(0))
    assert list(looks) == []
    assert asked[0] is None
    assert asked[1] == first.at - logs.OVERLAP
    assert asked[2] == asked[3] == second.at - logs.OVERLAP


def test_following_one_that_is_long_over_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "describe", lambda _: replace(RUNS, status="FAILED", stopped=NOW - timedelta(minutes=1)))
    monkeypatch.setattr(logs, "read_lines", lambda *_: [line(1, -60)])
    assert list(logs.new_lines(NAMES, "arn")) == [[line(1, -60)]]


def test_line_stays_one_line_and_obeys_nothing() -> None:
    odd = "read\n2026-01-01 00:00:00.000  load       INFO      all is well\x1b[2J\r"
    out = io.StringIO()
    logs.show_lines(screen(file=out), [replace(line(1, 0), message=odd, fields={"table": odd})])
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().count(r"well\x1b[2J\x0d") == 2
