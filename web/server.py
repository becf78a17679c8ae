"""Serves the page on the loopback interface, for as long as a stack runs."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from werkzeug.serving import make_server

from cli.errors import Misused
from local.aws.server import HOST, serving
from web.app import make_app
from web.view import Gatherer

if TYPE_CHECKING:
    from local.stack import Stack

# TOTE on a telephone's keys.
USUAL_PORT = 8683


def listener(port: int | None) -> socket.socket:
    """A socket for the page: at this port, or at the usual one, or, where that is taken, at a free one.

    Raises:
        Misused: the port that was asked for can't be had.
    """
    try:
        return _bound(port or USUAL_PORT)
    except OSError as error:
        if port is None:
            return _bound(0)
        raise Misused(f"Port {port} can't be had: {error.strerror}. Leave out --port for a free one.") from None


@contextmanager
def serving_page(stack: "Stack", at: socket.socket) -> Iterator[str]:
    """Serves the page of a stack.

    Yields:
        Its address.
    """
    gatherer = Gatherer(stack)
    port = at.getsockname()[1]
    server = make_server(HOST, port, make_app(stack, gatherer, port), threaded=True, fd=at.fileno())
    with serving(server):
        try:
            yield f"http://{HOST}:{port}"
        finally:
            gatherer.close()
            # The server has a copy of its own; with this one open, who connects would wait for an answer.
            at.close()


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Without it a port stays taken for a minute after a stack that used it.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen()
    except OSError:
        found.close()
        raise
    return found
