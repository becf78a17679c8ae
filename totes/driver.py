"""pg8000's connection, with its socket closed at once."""

import socket
from contextlib import suppress
from typing import Any

import pg8000.dbapi


class Connection(pg8000.dbapi.Connection):  # type: ignore[misc]  # it comes without types
    """Closes its socket when it is closed, and when it can't be opened.

    pg8000 closes the socket but not the file that wraps it, which keeps the socket open until garbage collection. If a
    connection fails early, it closes neither. Python 3.13 warns about both.
    """

    def __init__(self, *args: object, sock: socket.socket | None = None, **parameters: object) -> None:
        self._sock: Any = None
        self._usock: Any = sock
        try:
            super().__init__(*args, sock=sock, **parameters)
        except BaseException:
            _hang_up(self._sock, self._usock)
            raise

    def close(self) -> None:
        """Ends the session and closes the socket.

        Raises:
            InterfaceError: the connection was lost, or is closed already.
        """
        file, sock = self._sock, self._usock
        try:
            super().close()
        finally:
            _hang_up(file, sock)


def _hang_up(file: Any, sock: Any) -> None:
    for opened in (file, sock):
        if opened is not None:
            with suppress(OSError):
                opened.close()
