"""The connection of every stage: pg8000's, with named parameters, rows with attributes, and transactions as blocks.

It also closes sockets at once, takes fewer round trips, and prepares passwords as libpq does.

All code that relies on internals of pg8000 and scramp is here. After an upgrade of either,
tests/unit/totes/postgres/test_driver.py shows which internals are gone, and which repairs are no longer needed.
"""

import re
import socket
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from struct import Struct
from typing import Any

import pg8000.dbapi
import scramp.core
from pg8000.converters import make_params
from pg8000.core import COPY_DATA, NULL_BYTE, SYNC_MSG, Context, _write
from pg8000.exceptions import InterfaceError
from scramp import ScramException

from totes.postgres.rows import Rows

# A message's letter and its length. The length includes itself, but not the letter.
_HEADER = Struct("!ci")
# As many bytes as a socket holds, so that one read takes all that has arrived.
_BUFFER_BYTES = 1 << 18
# pg8000 sends this before a transaction's first statement.
_BEGIN = "begin transaction"
_NO_SUCH_SETTING = "42704"
_SAVEPOINT = "totes"
# `:name`, but neither the type after `::` nor the minutes of `HH24:MI`.
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


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

    @property
    def tls(self) -> ssl.SSLSocket | None:
        """Returns the socket if it is encrypted, else None."""
        return self._usock if isinstance(self._usock, ssl.SSLSocket) else None

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
            self._transaction_status = None


class PipelineConnection(Connection):
    """A connection with settings in each transaction, fewer round trips, and fewer calls for a COPY's rows.

    A statement outside of a block begins a transaction, which ends with the next `rollback`, or with the connection.

    Args:
        settings: the settings of each transaction, by name.
        read_back: the names of the settings that each transaction reads back.
        check: is called with their values. The beginning of the transaction raises its errors.

    Attributes:
        statement: the statement that `execute` ran last; empty if there was none.
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
        self.statement = ""
        super().__init__(**parameters)
        small, self._sock = self._sock, self._usock.makefile("rwb", _BUFFER_BYTES)
        small.close()

    def execute(
        self, statement: str, values: Mapping[str, object] | Sequence[object] | None = None, stream: object = None
    ) -> Rows:
        """Runs a statement. Several statements without parameters, joined by semicolons, run in one round trip.

        Args:
            values: the parameters' values. The statement writes a mapping's as `:name`, a sequence's as `$1`, `$2` and
                so on. Without values, the statement has no parameters.
            stream: a file that takes the rows of a `COPY … TO STDOUT`, some at a time, by its method `writelines`; or
                the blocks of a `COPY … FROM STDIN`.

        Raises:
            pg8000.dbapi.DatabaseError: the server refused. The connection stays usable.
            pg8000.dbapi.InterfaceError, OSError: the connection was lost, or is closed.
        """
        if not self._in_transaction:
            self.execute_simple(_BEGIN)
        self.statement = statement
        if values and isinstance(values, Mapping):
            statement, names = numbered(statement)
            values = [values[name] for name in names]
        if values or stream is not None:
            return Rows(self.execute_unnamed(statement, list(values or ()), stream=stream))
        return Rows(self.execute_simple(statement))

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Begins a transaction, if none has begun; commits it after the block, or rolls it back if the block fails."""
        if not self._in_transaction:
            self.execute_simple(_BEGIN)
        try:
            yield
        except BaseException:
            # If the connection is lost, the server rolls back by itself.
            with suppress(pg8000.dbapi.Error, OSError):
                self.rollback()
            raise
        self.commit()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Sets a savepoint: if the block fails, only the block is rolled back. Blocks may be nested."""
        self.execute_simple(f"SAVEPOINT {_SAVEPOINT}")
        try:
            yield
        except BaseException:
            if self._in_transaction:
                with suppress(pg8000.dbapi.Error, OSError):
                    self.execute_simple(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}; RELEASE SAVEPOINT {_SAVEPOINT}")
            raise
        self.execute_simple(f"RELEASE SAVEPOINT {_SAVEPOINT}")

    def execute_simple(self, statement: str) -> Context:
        """Runs statements without parameters; a BEGIN also sets the settings."""
        return self._begin() if statement == _BEGIN else super().execute_simple(statement)

    def _begin(self) -> Context:
        """Begins a transaction, sets its settings and reads them back, in one round trip.

        Neither SET nor SHOW takes a snapshot, so a transaction can still set its isolation and lock tables first. A
        setting that the server lacks costs a connection two more round trips, once.
        """
        if self._usock is None:
            raise InterfaceError("connection is closed")
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
        """Drops the setting that the server does not know; returns whether there was one."""
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
        """Runs a statement with parameters, a COPY or a COMMIT in one round trip; pg8000 itself takes three."""
        context, given = Context(statement, stream=stream), make_params(self.py_types, vals)
        self.send_PARSE(NULL_BYTE, statement, oids)
        self.send_DESCRIBE_STATEMENT(NULL_BYTE)
        self.send_BIND(NULL_BYTE, given)
        self.send_EXECUTE()
        self._sock.write(SYNC_MSG)
        self._sock.flush()
        self.handle_messages(context)
        return context

    def handle_messages(self, context: Context) -> None:
        """Reads an answer to its end.

        If that fails, for instance in the middle of a COPY, the next answer can't be distinguished from the rest of
        this one. So it closes the socket without a message to the server, and the server rolls back.
        """
        try:
            super().handle_messages(context)
        except pg8000.dbapi.DatabaseError:
            raise
        except BaseException:
            _hang_up(self._sock, self._usock)
            self._sock = self._usock = self._transaction_status = None
            raise

    def handle_COPY_DATA(self, data: bytes, context: Any) -> None:  # noqa: N802  pg8000's name
        """Takes a row, together with all complete rows that follow it in the buffer. The stream gets them as a list.

        PostgreSQL sends each row as a separate message, and pg8000 needs several calls to read each. For a million rows
        these calls are more than half of an extraction's time.
        """
        arrived = self._sock.peek()
        rows, end, last = [data], 0, len(arrived) - _HEADER.size
        while end <= last:
            letter, length = _HEADER.unpack_from(arrived, end)
            after = end + 1 + length
            if letter != COPY_DATA or after > len(arrived):
                break
            rows.append(arrived[end + _HEADER.size : after])
            end = after
        self._sock.read(end)
        context.stream.writelines(rows)

    def _send_message(self, code: bytes, data: bytes | bytearray) -> None:
        """Sends a message. pg8000 copies each one twice, which takes longer than sending the blocks of a COPY."""
        if code != COPY_DATA:
            super()._send_message(code, data)
            return
        _write(self._sock, _HEADER.pack(code, _HEADER.size - 1 + len(data)))
        _write(self._sock, data)


def numbered(statement: str) -> tuple[str, list[str]]:
    """Returns a statement with `$1`, `$2` … in place of its `:name`s, and these names in order.

    Each place is a separate parameter, so the server may give each a different type.
    """
    numbers = count(1)
    return _PARAMETER.sub(lambda _: f"${next(numbers)}", statement), _PARAMETER.findall(statement)


def _hang_up(file: Any, sock: Any) -> None:
    for opened in (file, sock):
        if opened is not None:
            with suppress(OSError):
                opened.close()


def _lenient(saslprep: Callable[[str], str]) -> Callable[[str], str]:
    """Returns SASLprep as PostgreSQL's server and libpq apply it: they use a text that it forbids unchanged.

    They use ASCII text unchanged, and turn U+200B into a space, because RFC 3454 has it in two tables. scramp prepares
    user names, too, but the server ignores them here.
    """

    def prepared(text: str) -> str:
        if text.isascii():
            return text
        try:
            return saslprep(text.replace("\u200b", " ")) or text
        except ScramException:
            return text

    return prepared


# scramp logs in for pg8000. It has no option for this, but looks the function up in this place.
scramp.core.saslprep = _lenient(scramp.utils.saslprep)
