"""Connections to S3 that end unexpectedly: a server plays one part of a script after the other."""

import hashlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.unit.totes.conftest import BUCKET, serving
from totes.errors import LakeUnavailable
from totes.lake.bucket import Lake, StoredObject
from totes.runtime import aws

LENGTH = 3_000_000

Part = Callable[[BaseHTTPRequestHandler], None]
Plays = Callable[..., list[str]]


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plays]:
    """Answers each request with the next part, and repeats the last one; returns the list of requests."""
    monkeypatch.setitem(aws.RETRIES, "backoff", {"init_backoff": timedelta(milliseconds=1)})
    monkeypatch.setitem(aws._TIMES, "read_timeout", "300ms")
    requests: list[str] = []
    parts: list[Part] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append(f"{self.command} {self.headers.get('Range', '')}".strip())
            parts[min(len(requests), len(parts)) - 1](self)

        do_GET = do_PUT = answer  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None: ...

    def play(*given: Part) -> list[str]:
        parts.extend(given)
        return requests

    with serving(Handler) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield play


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def stored(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("ETag", '"e"')
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def taken(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(412)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def half(handler: BaseHTTPRequestHandler) -> None:
    begin(handler, 200, LENGTH)
    handler.wfile.write(bytes(LENGTH // 2))


def silence(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(1)
    handler.close_connection = True


def half_and_silence(handler: BaseHTTPRequestHandler) -> None:
    half(handler)
    silence(handler)


def rest(handler: BaseHTTPRequestHandler) -> None:
    start = int(handler.headers["Range"].removeprefix("bytes=").partition("-")[0])
    begin(handler, 206, LENGTH - start, f"bytes {start}-{LENGTH - 1}/{LENGTH}")
    handler.wfile.write(bytes(LENGTH - start))


def begin(handler: BaseHTTPRequestHandler, status: int, length: int, content_range: str = "") -> None:
    handler.send_response(status)
    handler.send_header("ETag", '"e"')
    handler.send_header("Last-Modified", "Mon, 30 Nov 2026 09:24:45 GMT")
    handler.send_header("Content-Length", str(length))
    if content_range:
        handler.send_header("Content-Range", content_range)
    handler.end_headers()


def test_put_over_a_connection_that_was_reset_is_sent_again(plays: Plays) -> None:
    """S3 closes a connection that a function keeps while it sleeps; the function notices when it sends."""
    requests = plays(reset, stored)
    assert Lake(BUCKET).add_json("log/1.json", {}) is True
    assert requests == ["PUT", "PUT"]


def test_put_whose_answer_is_lost_finds_the_key_taken(plays: Plays) -> None:
    plays(hang_up, taken)
    assert Lake(BUCKET).add_json("log/1.json", {}) is False


@pytest.mark.parametrize(("part", "attempts"), [(reset, 2), (silence, 1)])
def test_put_that_is_never_answered_is_transient(plays: Plays, part: Part, attempts: int) -> None:
    requests = plays(part)
    with pytest.raises(LakeUnavailable, match=f"s3://{BUCKET}/log/1.json: no answer from S3: "):
        Lake(BUCKET).add_json("log/1.json", {})
    assert len(requests) == attempts


@pytest.mark.parametrize("broken", [half, half_and_silence], ids=["cut off", "stalled"])
def test_broken_download_is_resumed(plays: Plays, tmp_path: Path, broken: Part) -> None:
    requests = plays(broken, rest)
    sha256 = hashlib.sha256(bytes(LENGTH)).hexdigest()
    fetched = Lake(BUCKET).fetch(StoredObject("data/a", 1, LENGTH, sha256), tmp_path / "copy")
    assert fetched.stat().st_size == LENGTH
    assert requests == ["GET", f"GET bytes={LENGTH // 2}-{LENGTH - 1}"]


def test_download_that_stalls_for_good_ends_in_an_error(plays: Plays, tmp_path: Path) -> None:
    requests = plays(half_and_silence, silence)
    with pytest.raises(LakeUnavailable, match=f"s3://{BUCKET}/data/a: no answer from S3: TimedOut"):
        Lake(BUCKET).fetch(StoredObject("data/a", 1, LENGTH, "ab"), tmp_path / "copy")
    assert len(requests) > 2
