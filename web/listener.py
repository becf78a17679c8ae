"""Opens the page's port before the slow imports and the stack's start."""

import socket

from cli.errors import Misused
from local.aws.guard import HOST

# TOTE on a phone's keypad.
USUAL_PORT = 8683


def listener(port: int | None) -> socket.socket:
    """Opens a socket for the page: at the given port, else at the usual one, or at a free one if that is taken.

    Raises:
        Misused: the given port is not available.
    """
    try:
        return _bound(port or USUAL_PORT)
    except OSError as error:
        if port is None:
            return _bound(0)
        raise Misused(f"Port {port} is not available: {error.strerror}. Leave out --port for a free one.") from None


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Otherwise the port stays taken for a minute after a stack has used it.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen()
    except OSError:
        found.close()
        raise
    return found
