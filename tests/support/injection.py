"""Injects faults at a chosen moment: before the n-th statement, PUT or row, the process dies or the test acts.

All of them work on the wire, so they hold for each client and each thread. Each of them fails the test if its moment
does not come, unless the test allows that.
"""

import functools
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from tests.support import postgres_wire, s3_wire
from tests.support.postgres_wire import COMMIT as COMMIT
from tests.support.processes import Killed as Killed
from tests.support.processes import here, interrupted, sender
from tests.support.s3_wire import LOST, REFUSED, Answer, Request, Send
from totes.postgres.driver import PipelineConnection

_READY = b"Z\0\0\0\5"
Action = Callable[[], object]


class Countdown:
    """Does something at the n-th event; `left` shows whether there were as many."""

    def __init__(self, number: int, action: Action) -> None:
        self.left = number
        self._action = action
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.left -= 1
            is_now = self.left == 0
        if is_now:
            self._action()


def die() -> None:
    raise Killed


@contextmanager
def dying_at_put(number: int, *, may_miss: bool = False) -> Iterator[Countdown]:
    """Kills the process instead of the n-th PUT to S3."""
    with at_put(number, die, may_miss=may_miss) as countdown:
        yield countdown


@contextmanager
def dying_at_statement(number: int, *, may_miss: bool = False) -> Iterator[Countdown]:
    """Kills the process instead of the n-th statement, COPY or commit."""
    countdown = Countdown(number, die)
    with at_statement("", countdown, number, may_miss=may_miss):
        yield countdown


@contextmanager
def dying_at_row(number: int) -> Iterator[Countdown]:
    """Kills the process before it reads the n-th row that PostgreSQL copies out, of all tables."""
    countdown, copy_data = Countdown(number, functools.partial(_acting_here, die)), PipelineConnection.handle_COPY_DATA

    def take(stream: Any, rows: Sequence[bytes]) -> None:
        for _ in rows:
            countdown()
        stream.writelines(rows)

    def counted(connection: Any, data: bytes, context: Any) -> None:
        stream = SimpleNamespace(writelines=functools.partial(take, context.stream))
        copy_data(connection, data, SimpleNamespace(stream=stream))

    with mock.patch.object(PipelineConnection, "handle_COPY_DATA", counted), _must(lambda: countdown.left <= 0):
        yield countdown


@contextmanager
def at_put(number: int, action: Action, *, may_miss: bool = False) -> Iterator[Countdown]:
    """Does something just before the n-th PUT to S3; if it raises, S3 does not carry out the PUT."""
    countdown = Countdown(number, action)
    with at_key("", countdown, number, may_miss=may_miss):
        yield countdown


@contextmanager
def at_key(contains: str, action: Action, times: int = 1, *, may_miss: bool = False) -> Iterator[list[str]]:
    """Acts just before the first PUTs to keys that contain a text.

    If it raises, S3 does not carry out the PUT, and the handler that sent it ends with that error.

    Args:
        times: before how many of these PUTs it acts.

    Yields:
        the paths of all PUTs that contained the text.
    """
    moments = _Moments(contains, action, times)

    def listen(request: Request, send: Send) -> Answer | None:
        if not request.writes or not moments.has_come(request.path):
            return send()
        process = sender()
        try:
            with interrupted(process):
                action()
        except BaseException as error:  # noqa: BLE001  the handler's thread raises it
            if process is None:
                moments.stray.append(error)
            else:
                process.die(error)
            return REFUSED
        return send()

    # Other requests of the dead process go to PostgreSQL, too.
    with postgres_wire.heard_by(lambda _: None), s3_wire.heard_by(listen), _must(moments.done, may_miss):
        yield moments.seen


@contextmanager
def at_statement(contains: str, action: Action, times: int = 1, *, may_miss: bool = False) -> Iterator[list[str]]:
    """Acts before the first statements that contain a text. A commit is the statement `COMMIT`.

    Args:
        times: before how many of these statements it acts.

    Yields:
        all statements that contained the text.
    """
    moments = _Moments(contains, action, times)

    def listen(statement: str) -> None:
        if moments.has_come(statement):
            _acting_here(action)

    # Other requests of the dead process go to S3, too.
    with s3_wire.heard_by(_pass), postgres_wire.heard_by(listen), _must(moments.done, may_miss):
        yield moments.seen


@contextmanager
def statements(contains: str) -> Iterator[list[str]]:
    """Yields all statements that contain a text, and injects nothing."""
    with at_statement(contains, lambda: None, may_miss=True) as seen:
        yield seen


@contextmanager
def puts(contains: str) -> Iterator[list[str]]:
    """Yields the paths of all PUTs to keys that contain a text, and injects nothing."""
    with at_key(contains, lambda: None, may_miss=True) as seen:
        yield seen


@contextmanager
def s3_answers(status: int, code: str, operation: str, times: int = 1) -> Iterator[Countdown]:
    """Makes S3 answer the next requests with an error, without doing anything. Each attempt of a client is a request.

    Args:
        status: for instance 503.
        code: for instance `SlowDown`.
        operation: for instance `PutObject`.
        times: how many requests; `left` of the yielded object says how many did not come.
    """
    remaining = Countdown(times, lambda: None)

    def listen(request: Request, send: Send) -> Answer | None:
        if request.operation != operation or remaining.left <= 0:
            return send()
        remaining()
        return s3_wire.error(status, code)

    with s3_wire.heard_by(listen), _must(lambda: remaining.left < times):
        yield remaining


@contextmanager
def put_answer_lost(contains: str, number: int = 1) -> Iterator[list[int]]:
    """Loses S3's answer to the n-th PUT to keys that contain a text, after S3 has carried it out: the client may retry.

    Yields:
        the status of each PUT that contained the text.
    """
    statuses: list[int] = []

    def listen(request: Request, send: Send) -> Answer | None:
        answer = send()
        if not request.writes or contains not in request.path or answer is LOST:
            return answer
        statuses.append(answer.status)
        return LOST if len(statuses) == number else answer

    with s3_wire.heard_by(listen), _must(lambda: len(statuses) >= number):
        yield statuses


@contextmanager
def losing_acknowledgement(after: str) -> Iterator[list[str]]:
    """Loses the connection between the server's commit and its answer: once, after a statement that contains a text.

    Yields:
        the statement, followed by COMMIT after its answer was lost.
    """
    seen: list[str] = []
    handle_messages = PipelineConnection.handle_messages

    def listen(statement: str) -> None:
        awaited = statement == COMMIT if seen else after in statement
        if awaited and len(seen) < 2:
            seen.append(statement)

    def lose(connection: Any, context: Any) -> None:
        if seen[1:] and not lost:
            lost.append(True)
            answer = b""
            # The server has committed when it reports that it is ready for the next statement.
            while _READY not in answer:
                answer += connection._usock.recv(1 << 16) or pytest.fail("The server has gone before it committed.")
            connection._usock.shutdown(socket.SHUT_RDWR)
        handle_messages(connection, context)

    lost: list[bool] = []
    with (
        postgres_wire.heard_by(listen),
        mock.patch.object(PipelineConnection, "handle_messages", lose),
        _must(lambda: bool(lost)),
    ):
        yield seen


class _Moments:
    """The first events that contain a text, and whether the action before them has happened.

    Attributes:
        seen: all events that contained the text.
        stray: errors that belong to no handler.
    """

    def __init__(self, contains: str, action: Action, times: int) -> None:
        self.seen: list[str] = []
        self.stray: list[BaseException] = []
        self._contains = contains
        self._action = action
        self._times = times
        self._lock = threading.Lock()

    def has_come(self, event: str) -> bool:
        if self._contains not in event:
            return False
        with self._lock:
            self.seen.append(event)
            return len(self.seen) <= self._times

    def done(self) -> bool:
        assert not self.stray, f"{self.stray} should end a handler, but none runs as a process(), or several at once."
        return self._action.left <= 0 if isinstance(self._action, Countdown) else bool(self.seen)


def _acting_here(action: Action) -> None:
    """Does something in the thread of a handler, which dies of any error that this raises."""
    process = here()
    try:
        with interrupted(process):
            action()
    except BaseException as error:
        if process and isinstance(error, Killed):
            process.die(error)
        raise


def _pass(_: Request, send: Send) -> Answer | None:
    return send()


@contextmanager
def _must(happen: Callable[[], bool], may_miss: bool = False) -> Iterator[None]:
    """Fails if the block ends, even with an error, before the action has happened."""
    try:
        yield
    except Exception as error:
        if not (happen() or may_miss):
            raise AssertionError(f"Nothing was injected, and then: {error}") from error
        raise
    assert happen() or may_miss, "Nothing was injected: the moment did not come."
