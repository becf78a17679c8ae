"""The page's port, found before anything slow is imported or started."""

import socket

from cli.errors import Misused
from local.aws.guard import HOST

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
