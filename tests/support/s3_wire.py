"""Listens to the wire to S3: every request to the local AWS server, of each client.

The server runs in the tests' process. While anyone listens, each request passes through all listeners before it is
carried out, and its answer passes back through them.
"""

import io
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import responses
from typing import Any
from unittest import mock
from urllib.parse import unquote

from botocore.config import Config

from local.aws.guard import ProgramsOnly
from tests.support.processes import sender
from tests.support.taps import Tap

# The tests' own clients have this; their requests are not listened to.
_MARK = "md/sent-by-the-test"
OF_THE_TEST = Config(user_agent_extra=_MARK)

# {method: the operation, with a key and without one}
_OPERATIONS = {
    "PUT": ("PutObject", "CreateBucket"),
    "GET": ("GetObject", "ListObjectsV2"),
    "HEAD": ("HeadObject", "HeadBucket"),
    "DELETE": ("DeleteObject", "DeleteBucket"),
    "POST": ("PostObject", "DeleteObjects"),
}


@dataclass(frozen=True)
class Request:
    """A request to S3.

    Attributes:
        path: `/<bucket>/<key>`.
        operation: AWS's name for it.
        query: the text after the question mark.
    """

    method: str
    path: str
    operation: str
    query: str = ""

    @property
    def writes(self) -> bool:
        """Returns whether it puts an object, or a part of one."""
        return self.method in ("PUT", "POST") and "/" in self.path[1:]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


# Sends no answer, and closes the connection.
LOST = None
Send = Callable[[], Answer | None]
Listener = Callable[[Request, Send], Answer | None]


def error(status: int, code: str) -> Answer:
    """Returns an answer of S3 that has an error."""
    body = f"<Error><Code>{code}</Code><Message>As the test says.</Message></Error>".encode()
    return Answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body)


# The answer to a dead process: no client retries after it.
REFUSED = error(403, "AccessDenied")

_serve_unheard = ProgramsOnly.__call__
_wire: Tap[Listener] = Tap(lambda: mock.patch.object(ProgramsOnly, "__call__", lambda *request: _serve(*request)))


def heard_by(listener: Listener) -> AbstractContextManager[None]:
    """Puts a listener in front of S3 for the block; the newest listener gets a request first."""
    return _wire.heard_by(listener)


def _serve(guard: ProgramsOnly, environ: Any, start_response: Any) -> Iterable[bytes]:
    request = _request(environ)
    if request is None:
        return _serve_unheard(guard, environ, start_response)
    _take_body(environ)
    answer = _answer(request, partial(_carry_out, guard, environ))
    if answer is LOST:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        # The server writes no answer to a client that has gone.
        raise ConnectionAbortedError
    start_response(f"{answer.status} {responses.get(answer.status, '')}", answer.headers)
    return [b"" if request.method == "HEAD" else answer.body]


def _answer(request: Request, send: Send) -> Answer | None:
    process = sender()
    if process and process.cause:
        return REFUSED
    for listener in _wire.listeners:
        send = partial(listener, request, send)
    return send()


def _request(environ: Any) -> Request | None:
    """Returns the request, if it goes to S3 and does not come from the test itself."""
    signed_for = re.search(r"Credential=[^,]*/(\w+)/aws4_request", environ.get("HTTP_AUTHORIZATION", ""))
    if (signed_for and signed_for[1] != "s3") or _MARK in environ.get("HTTP_USER_AGENT", ""):
        return None
    path, _, query = environ["RAW_URI"].partition("?")
    path = unquote(path)
    bucket, _, rest = environ.get("HTTP_HOST", "").partition(".localhost:")
    if rest:
        path = f"/{bucket}{path}"
    method = environ["REQUEST_METHOD"]
    has_key = bool(path[1:].partition("/")[2])
    return Request(method, path, _OPERATIONS.get(method, ("", ""))[not has_key], query)


def _take_body(environ: Any) -> None:
    """Reads the body. A client that still sends it would not take an answer before its end."""
    length = environ.get("CONTENT_LENGTH")
    body = environ["wsgi.input"]
    environ["wsgi.input"] = io.BytesIO(body.read(int(length)) if length else _rest_of(body, environ))


def _rest_of(body: Any, environ: Any) -> bytes:
    return body.read() if environ.get("wsgi.input_terminated") else b""


def _carry_out(guard: ProgramsOnly, environ: Any) -> Answer:
    started: list[Any] = []

    def start_response(*begun: Any) -> Any:
        started.extend(begun)

    chunks = _serve_unheard(guard, environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        getattr(chunks, "close", lambda: None)()
    status, headers, *_ = started
    return Answer(int(status.split()[0]), headers, body)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, with times in seconds of one clock."""

    start: float
    end: float
    method: str
    path: str


@dataclass
class Trace:
    """The requests to S3 in a block, in the order of their answers."""

    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """Returns the longest chain of requests that do not overlap."""
        depth, end = 0, float("-inf")
        for exchange in sorted(self.exchanges, key=lambda exchange: exchange.end):
            if exchange.start >= end:
                depth, end = depth + 1, exchange.end
        return depth

    def __str__(self) -> str:
        first = min((exchange.start for exchange in self.exchanges), default=0.0)
        return "\n".join(
            f"{exchange.start - first:7.3f} {exchange.end - first:7.3f}  {exchange.method:4} {exchange.path}"
            for exchange in self.exchanges
        )


# As long as S3 takes. So requests that are sent at once overlap, even if the processor is busy.
_LATENCY = 0.03


@contextmanager
def traced() -> Iterator[Trace]:
    """Yields the requests that are sent in the block."""
    trace = Trace()

    def listen(request: Request, send: Send) -> Answer | None:
        start = time.perf_counter()
        time.sleep(_LATENCY)
        answer = send()
        trace.exchanges.append(Exchange(start, time.perf_counter(), request.method, request.path))
        return answer

    with heard_by(listen):
        yield trace
