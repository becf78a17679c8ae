from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.totes.lake.test_batch_log import MANIFEST
from totes.postgres.position import SourcePosition
from totes.source import flush
from totes.source.flush import durable_position, wait_for_flush

BEHIND, LSN, END = "16/B374D000", "16/B374D848", "16/B374D900"
# The user may not ask whether the server has crashed.
BLIND = SourcePosition("7437", 1, 16_384, xmin=1_000, xmax=1_010, started_at="2026-11-29T08:00:00Z", lsn=LSN)
WATCHED = replace(BLIND, recovered_at="2026-11-29T07:00:00Z")
STANDBY = replace(BLIND, started_at=None, in_recovery=True)
FENCED = replace(MANIFEST, source=replace(BLIND, xmin=950, fence=900))
SHORT, LONG = 20, 60_000
FOR_EVER = 50


class Server:
    """Answers how far it has flushed its log: one answer after the other, and then the last one repeatedly."""

    def __init__(self, *flushed: str, delay: int = SHORT) -> None:
        self._flushed = list(flushed)
        self._delay = delay
        self.asked = 0

    def execute(self, _statement: object) -> Any:
        self.asked += 1
        assert self.asked < FOR_EVER, "the flush is awaited without end"
        lsn = self._flushed.pop(0) if len(self._flushed) > 1 else self._flushed[0]
        return SimpleNamespace(one=lambda: SimpleNamespace(lsn=lsn, delay=self._delay))


def taken(position: SourcePosition, flushed: str | None = BEHIND) -> Any:
    return SimpleNamespace(position=position, flushed=flushed, end=END)


def waits(server: Server, snapshot: Any) -> bool:
    connection: Any = server
    return wait_for_flush(connection, snapshot)


def durable(snapshot: Any, server: Server, previous: Any = None) -> SourcePosition:
    connection: Any = server
    return durable_position(connection, snapshot, previous)


@pytest.mark.parametrize(
    "snapshot",
    [taken(BLIND, LSN), taken(BLIND, None), taken(replace(BLIND, lsn=None)), taken(STANDBY, None)],
    ids=["flushed", "may not be asked", "has no log", "a standby"],
)
def test_flush_is_not_asked_about_in_vain(snapshot: Any) -> None:
    server = Server(BEHIND, delay=LONG)
    assert waits(server, snapshot)
    assert server.asked == 0


def test_flush_is_awaited_where_a_crash_could_not_be_seen() -> None:
    server = Server(BEHIND, BEHIND, LSN, delay=LONG)
    assert waits(server, taken(BLIND))
    assert server.asked == 3


def test_flush_is_not_awaited_where_a_crash_could_be_seen() -> None:
    server = Server(BEHIND, LSN, delay=LONG)
    assert not waits(server, taken(WATCHED))
    assert server.asked == 1


@pytest.mark.parametrize("delay", [SHORT, LONG])
def test_flush_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch, delay: int) -> None:
    monkeypatch.setattr(flush, "LONGEST_SECONDS", 0.1)
    server = Server(BEHIND, delay=delay)
    assert not waits(server, taken(BLIND))
    assert server.asked > 1


@pytest.mark.parametrize(
    ("position", "flushed", "previous", "fence"),
    [
        (BLIND, LSN, FENCED, 1_000),
        (WATCHED, BEHIND, FENCED, 1_000),
        (BLIND, BEHIND, FENCED, 900),
        (BLIND, BEHIND, None, None),
    ],
    ids=["flushed", "a crash could be seen", "it could not", "and it is the first batch"],
)
def test_fence_is_one_that_no_crash_can_undo(
    position: SourcePosition, flushed: str, previous: Any, fence: int | None
) -> None:
    found = durable(taken(position, flushed), Server(BEHIND), previous)
    assert (found.fence, found.flushed) == (fence, flushed == LSN)
    assert (found.xmin, found.xmax) == (1_000, 1_010)


def test_last_known_start_outlives_a_batch_of_a_standby() -> None:
    assert durable(taken(STANDBY, None), Server(BEHIND), FENCED).started_at == BLIND.started_at
    assert durable(taken(STANDBY, None), Server(BEHIND)).started_at is None
    moved = replace(BLIND, started_at="2026-11-29T09:00:00Z")
    assert durable(taken(moved, LSN), Server(BEHIND), FENCED).started_at == moved.started_at


def test_position_keeps_the_end_of_the_log_after_the_snapshot() -> None:
    assert durable(taken(STANDBY, None), Server(BEHIND), FENCED).lsn == END
