"""pg8000 in fewer round trips, and COPY in blocks: rows by the thousand cost as little as a few large ones."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from struct import Struct
from typing import Any, Protocol

import pg8000.dbapi
import sqlalchemy
from pg8000.converters import make_params
from pg8000.core import NULL_BYTE, SYNC_MSG, Context

from totes.postgres import driver

_LENGTH = Struct("!i")
_DATA = ord("d")
# pg8000 sends this before a transaction's first statement.
_BEGIN = "begin transaction"
_NO_SUCH_SETTING = "42704"


class Sink(Protocol):
    """What takes the bytes of a `COPY … TO STDOUT`: any number of whole rows at a time."""

    def write(self, rows: bytes, /) -> object: ...


class Connection(driver.Connection):
    """pg8000's connection, with settings in each transaction, fewer round trips, and fewer calls for a COPY's rows.

    Args:
        settings: the settings of each transaction, by name.
        read_back: names of the settings that each transaction reads back.
        check: is called with their values; the transaction's first statement raises its errors.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        read_back: Collection[str],
        check: Callable[[Mapping[str, str]], None],
        **parameters: Any,
    ) -> None:
        self._settings = dict(settings)
        self._read_back = list(read_back)
        self._check = check
        super().__init__(**parameters)

    def execute_simple(self, statement: str) -> Context:
        """Runs statements without parameters; a BEGIN also sets the settings."""
        return self._begin() if statement == _BEGIN else super().execute_simple(statement)

    def _begin(self) -> Context:
        """Begins a transaction, sets its settings and reads them back, in one round trip.

        Neither SET nor SHOW takes a snapshot, so a transaction can still set its isolation and lock tables first. If
        the server lacks a setting, a connection takes two more round trips for it, once.
        """
        sets = [f"SET LOCAL {name} = '{value}'" for name, value in self._settings.items()]
        shows = [f"SHOW {name}" for name in self._read_back]
        try:
            context = super().execute_simple("; ".join([_BEGIN, *sets, *shows]))
        except pg8000.dbapi.DatabaseError as error:
            if not self._forget_unknown(error.args[0]):
                raise
            super().execute_simple("rollback")
            return self._begin()
        self._check(dict(zip(self._read_back, (value for (value,) in context.rows), strict=True)))
        return context

    def _forget_unknown(self, fields: Mapping[str, str]) -> bool:
        """Drops the setting that the server says it doesn't know; returns whether there was one."""
        if fields.get("C") != _NO_SUCH_SETTING:
            return False
        words = set(re.findall(r"\w+", fields.get("M", "")))
        unknown = words.intersection([*self._settings, *self._read_back])
        self._settings = {name: value for name, value in self._settings.items() if name not in unknown}
        self._read_back = [name for name in self._read_back if name not in unknown]
        return bool(unknown)

    def execute_unnamed(
        self, statement: str, vals: Sequence[object] = (), oids: Sequence[int] = (), stream: object = None
    ) -> Context:
        """Runs a statement with parameters, a COPY or a COMMIT: in one round trip, where pg8000 takes three."""
        context = Context(statement, stream=stream)
        self.send_PARSE(NULL_BYTE, statement, oids)
        self.send_DESCRIBE_STATEMENT(NULL_BYTE)
        self.send_BIND(NULL_BYTE, make_params(self.py_types, vals))
        self.send_EXECUTE()
        self._sock.write(SYNC_MSG)
        self._sock.flush()
        self.handle_messages(context)
        return context

    def handle_COPY_DATA(self, data: bytes, context: Any) -> None:  # noqa: N802  pg8000's name
        """Takes a row, and with it all that lie complete in the buffer behind it.

        PostgreSQL sends each row as a message of its own, and pg8000 reads each by several calls: for a million rows
        that is more than half of an extraction's time.
        """
        arrived = self._sock.peek()
        rows, end = [data], 0
        while len(arrived) - end > _LENGTH.size and arrived[end] == _DATA:
            # A message's length counts itself, but not the letter before it.
            after = end + 1 + _LENGTH.unpack_from(arrived, end + 1)[0]
            if after > len(arrived):
                break
            rows.append(arrived[end + 1 + _LENGTH.size : after])
            end = after
        self._sock.read(end)
        context.stream_write(b"".join(rows))


def copy_out(connection: sqlalchemy.Connection, statement: str, sink: Sink) -> None:
    """Runs `COPY … TO STDOUT`."""
    _copy(connection, statement, sink)


def copy_in(connection: sqlalchemy.Connection, statement: str, blocks: Iterable[bytes]) -> None:
    """Runs `COPY … FROM STDIN` over blocks of bytes, each of which is made while the one before it is sent."""
    _copy(connection, statement, _ahead(blocks))


def _ahead(blocks: Iterable[bytes]) -> Iterator[bytes]:
    with ThreadPoolExecutor(1) as worker:
        iterator = iter(blocks)
        coming = worker.submit(next, iterator, b"")
        while block := coming.result():
            coming = worker.submit(next, iterator, b"")
            yield block


def _copy(connection: sqlalchemy.Connection, statement: str, stream: object) -> None:
    driver: Any = connection.connection
    try:
        with closing(driver.cursor()) as cursor:
            cursor.execute(statement, stream=stream)
    except BaseException:
        # The protocol may be in the middle of the copy; no further statement could be told from its data.
        connection.invalidate()
        raise
