import contextlib
import socket

import pytest

from cli.errors import Misused
from local.stack import Stack
from web.listener import listener
from web.server import serving_page


@pytest.fixture
def free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as found:
        port: int = found.getsockname()[1]
    return port


def port_of(port: int | None) -> int:
    with contextlib.closing(listener(port)) as found:
        assert found.getsockname()[0] == "127.0.0.1"
        at: int = found.getsockname()[1]
    return at


def test_usual_port_is_taken_where_it_is_free(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setattr("web.listener.USUAL_PORT", free_port)
    assert port_of(None) == free_port


def test_another_port_does_where_the_usual_one_is_taken(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setattr("web.listener.USUAL_PORT", free_port)
    with contextlib.closing(listener(None)):
        assert port_of(None) not in {0, free_port}


def test_chosen_port_is_the_one_or_none(free_port: int) -> None:
    with contextlib.closing(listener(free_port)) as found:
        assert found.getsockname() == ("127.0.0.1", free_port)
        with pytest.raises(Misused, match=f"Port {free_port} is not available: Address already in use. Leave"):
            listener(free_port)


def test_port_can_be_had_again_at_once(stack: Stack, free_port: int) -> None:
    with contextlib.ExitStack() as still_open:
        for _ in range(2):
            with serving_page(stack, listener(free_port)) as address:
                assert address == f"http://127.0.0.1:{free_port}"
                client = still_open.enter_context(socket.create_connection(("127.0.0.1", free_port), timeout=30))
                client.sendall(f"GET /nowhere HTTP/1.0\r\nHost: 127.0.0.1:{free_port}\r\n\r\n".encode())
                answer = b"".join(iter(lambda: client.recv(4096), b""))  # noqa: B023  until the server hangs up
                assert answer.startswith(b"HTTP/1.1 404")


def test_nobody_waits_at_a_page_that_has_ended(stack: Stack, free_port: int) -> None:
    at = listener(free_port)
    with contextlib.closing(at), serving_page(stack, at):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port), timeout=5)


def test_page_is_served_to_this_machine_only(stack: Stack, free_port: int) -> None:
    with serving_page(stack, listener(free_port)):
        for other in ("127.0.0.2", "::1"):
            with pytest.raises(OSError, match=r"refused|Cannot assign"):
                socket.create_connection((other, free_port), timeout=5)
