"""Faults at a given moment: before the n-th statement, PUT or row the process dies, or something else happens.

All of them work on what this process does, whatever thread it is in.
"""

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import boto3
import pg8000.dbapi
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from pg8000.core import Context

from totes.postgres.driver import PipelineConnection
from totes.runtime import aws
from totes.source import extract

Action = Callable[[], object]
COMMIT = "COMMIT"


class Killed(BaseException):
    """Nothing catches it: the process is gone."""


class Countdown:
    """Does something at the n-th event; `left` tells whether there were as many."""

    def __init__(self, number: int, action: Action) -> None:
        self.left = number
        self._action = action

    def __call__(self, *_: object, **__: object) -> None:
        self.left -= 1
        if self.left == 0:
            self._action()


def die() -> None:
    raise Killed


@contextmanager
def dying_at_put(number: int) -> Iterator[Countdown]:
    """The process dies instead of the n-th PUT to S3."""
    with at_put(number, die) as countdown:
        yield countdown


@contextmanager
def dying_at_statement(number: int) -> Iterator[Countdown]:
    """The process dies instead of the n-th statement, COPY or commit."""
    countdown = Countdown(number, die)
    with _statements(countdown):
        yield countdown


@contextmanager
def dying_at_row(number: int) -> Iterator[Countdown]:
    """The process dies instead of reading the n-th row of totesys, of all tables."""
    countdown, write = Countdown(number, die), extract._RowSink.write

    def counted(self: extract._RowSink, rows: bytes) -> None:
        for _ in range(rows.count(b"\n")):
            countdown()
        write(self, rows)

    with mock.patch.object(extract._RowSink, "write", counted):
        yield countdown


@contextmanager
def at_put(number: int, action: Action) -> Iterator[Countdown]:
    """Does something just before the n-th PUT to S3; where it raises, the PUT is not sent."""
    countdown = Countdown(number, action)
    with _aws_event("before-call.s3.PutObject", countdown):
        yield countdown


@contextmanager
def at_key(contains: str, action: Action, times: int = 1) -> Iterator[list[str]]:
    """Does something just before the first PUTs to keys that contain a text; where it raises, the PUT is not sent.

    Args:
        times: before how many of these.

    Yields:
        the paths of all PUTs that contained the text.
    """
    seen: list[str] = []

    def look(params: dict[str, Any], **_: object) -> None:
        if contains in params["url_path"]:
            seen.append(params["url_path"])
            if len(seen) <= times:
                action()

    with _aws_event("before-call.s3.PutObject", look):
        yield seen


@contextmanager
def at_statement(contains: str, action: Action, times: int = 1) -> Iterator[list[str]]:
    """Does something before the first statements that contain a text; a commit is the statement `COMMIT`.

    Args:
        times: before how many of these.

    Yields:
        all statements that contained the text.
    """
    seen: list[str] = []

    def look(statement: str) -> None:
        if contains in statement:
            seen.append(statement)
            if len(seen) <= times:
                action()

    with _statements(look):
        yield seen


@contextmanager
def s3_answers(status: int, code: str, operation: str, times: int = 1) -> Iterator[Countdown]:
    """S3 answers the next requests itself: nothing is done. Each attempt of the SDK is a request.

    Args:
        status: for instance 503.
        code: for instance `SlowDown`.
        operation: for instance `PutObject`.
        times: how many requests; `left` of what is yielded tells how many did not come.
    """
    remaining = Countdown(times, lambda: None)

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        if remaining.left <= 0:
            return None
        remaining()
        headers: Any = {"Content-Type": "application/xml"}
        text = f"<Error><Code>{code}</Code><Message>As the test says.</Message></Error>".encode()
        return AWSResponse(request.url, status, headers, _Body(text))

    with _aws_event(f"before-send.s3.{operation}", answer):
        yield remaining


@contextmanager
def put_answer_lost(contains: str, number: int = 1) -> Iterator[list[int]]:
    """S3 carries out the n-th PUT to keys that contain a text, its answer is lost, and the SDK sends the PUT again.

    Yields:
        the status of each PUT that contained the text.
    """
    statuses: list[int] = []

    def lose(response: tuple[Any, Any], request_dict: dict[str, Any], **_: object) -> int | None:
        if contains not in request_dict["url_path"]:
            return None
        statuses.append(response[0].status_code)
        return 0 if len(statuses) == number else None

    with _aws_event("needs-retry.s3.PutObject", lose):
        yield statuses


@contextmanager
def losing_acknowledgement(after: str) -> Iterator[list[str]]:
    """The connection is lost between the server's commit and its answer: once, after a statement that contains a text.

    Yields:
        the statement, and then COMMIT once that was lost.
    """
    seen: list[str] = []

    def look(statement: str) -> None:
        if after in statement and not seen:
            seen.append(statement)

    def commit(connection: Any) -> None:
        if len(seen) != 1:
            original(connection)
            return
        seen.append(COMMIT)
        connection.send_QUERY("commit")
        connection._sock.flush()
        # The server answers when it has committed.
        assert select.select([connection._usock], [], [], 10)[0]
        connection._usock.recv(1 << 16)
        connection._usock.shutdown(socket.SHUT_RDWR)
        connection.handle_messages(Context("commit"))

    original = pg8000.dbapi.Connection.commit
    with _statements(look), mock.patch.object(pg8000.dbapi.Connection, "commit", commit):
        yield seen


class _Body:
    """As much of urllib3's response as botocore reads."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self._text


@contextmanager
def _aws_event(name: str, handler: Callable[..., object]) -> Iterator[None]:
    """Hooks into every client that is made meanwhile; the functions have to make theirs anew."""
    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    session: Any = boto3.DEFAULT_SESSION
    session.events.register(name, handler)
    aws._client.cache_clear()
    try:
        yield
    finally:
        session.events.unregister(name, handler)
        aws._client.cache_clear()


@contextmanager
def _statements(listener: Callable[[str], object]) -> Iterator[None]:
    """Tells of every statement before it is sent, but for those that begin and end transactions, except COMMIT."""

    def told(run: Callable[..., Any]) -> Callable[..., Any]:
        def tell_and_run(connection: PipelineConnection, statement: str, *more: Any, **named: Any) -> Any:
            if not statement.startswith(("begin", "rollback", "SAVEPOINT totes", "RELEASE", "ROLLBACK")):
                listener(COMMIT if statement == "commit" else statement)
            return run(connection, statement, *more, **named)

        return tell_and_run

    names = ("execute_simple", "execute_unnamed")
    with mock.patch.multiple(PipelineConnection, **{name: told(getattr(PipelineConnection, name)) for name in names}):
        yield
