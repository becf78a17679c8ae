"""pg8000's connection, with its socket closed at once, and passwords taken as libpq takes them."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pg8000.dbapi
import scramp.core
from pg8000.exceptions import InterfaceError
from scramp import ScramException


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
        except BaseException as error:
            _hang_up(self._sock, self._usock)
            if isinstance(error, ScramException):
                # Callers know the driver's errors by their base class, which this one lacks.
                raise InterfaceError(f"SCRAM failed: {error}") from error
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


def _lenient(saslprep: Callable[[str], str]) -> Callable[[str], str]:
    """SASLprep as PostgreSQL's server and libpq apply it: what it forbids is used as it is.

    They use ASCII text unchanged, and turn U+200B into a space, because RFC 3454 has it in two tables. User names are
    prepared, too, but the server ignores them here.
    """

    def prepared(text: str) -> str:
        if text.isascii():
            return text
        try:
            return saslprep(text.replace("\u200b", " ")) or text
        except ScramException:
            return text

    return prepared


# scramp logs in for pg8000; it has no option for this, and looks the function up here.
scramp.core.saslprep = _lenient(scramp.utils.saslprep)
