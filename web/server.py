"""Serves the page on the loopback interface, for as long as a stack runs."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from werkzeug.serving import make_server

from local.aws.guard import HOST
from local.aws.server import serving
from web.app import make_app
from web.view import Gatherer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from local.stack import Stack


@contextmanager
def serving_page(stack: "Stack", at: socket.socket) -> Iterator[str]:
    """Serves the page of a stack.

    Yields:
        Its address.
    """
    gatherer = Gatherer(stack)
    port = at.getsockname()[1]
    server = make_server(HOST, port, read_at_once(make_app(stack, gatherer, port)), threaded=True, fd=at.fileno())
    with serving(server):
        try:
            yield f"http://{HOST}:{port}"
        finally:
            gatherer.close()
            # The server has a copy of its own; with this one open, who connects would wait for an answer.
            at.close()


def read_at_once(app: "WSGIApplication") -> "WSGIApplication":
    """Reads a whole answer, and closes its file, before any of it is sent.

    werkzeug leaves the file open if the browser drops the connection: it first reads what the browser still sends.
    """

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        chunks: Any = app(environ, start_response)
        with closing(chunks):
            return list(chunks)

    return answer
