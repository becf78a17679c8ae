"""Counts round trips to a PostgreSQL, with a Unix socket that relays everything to the server's own."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from local.postgres.server import SOCKET_NAME

_CHUNK = 1 << 16


class Wire:
    """A folder with a socket that relays to a server's.

    Attributes:
        host: the folder.
        round_trips: how often the server answered a client. Several messages sent at once count as one.
    """

    def __init__(self, host: str, server: str) -> None:
        self.host = host
        self.round_trips = 0
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{host}/{SOCKET_NAME}")
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(f"{self._server}/{SOCKET_NAME}")
            asked = threading.Event()
            back = threading.Thread(target=self._answer, args=(server, client, asked), daemon=True)
            back.start()
            while said := client.recv(_CHUNK):
                asked.set()
                server.sendall(said)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _answer(self, server: socket.socket, client: socket.socket, asked: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while said := server.recv(_CHUNK):
                if asked.is_set():
                    asked.clear()
                    self.round_trips += 1
                client.sendall(said)
            client.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def counted(server: str) -> Iterator[Wire]:
    """Makes a counting socket in front of the socket in the folder `server`."""
    with TemporaryDirectory(prefix="wire-") as folder:
        Path(folder).chmod(0o700)
        wire = Wire(folder, server)
        try:
            yield wire
        finally:
            wire.close()
