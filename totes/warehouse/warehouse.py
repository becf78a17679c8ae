"""A warehouse: its schemas, and the connection over which its SQL runs."""

import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from totes.postgres.connection import quoted
from totes.postgres.driver import PipelineConnection
from totes.postgres.rows import Rows
from totes.postgres.statements import sql

# "totes" in hexadecimal: the key of the lock that every change of the live warehouse takes.
_LOCK = 0x746F746573


@dataclass(frozen=True)
class Schemas:
    """The names of a warehouse's two schemas: one for its stars, one for its log."""

    stars: str = "public"
    log: str = "etl"

    @property
    def lock(self) -> int:
        """Returns the key of the advisory lock that every change of this warehouse takes. Each has its own."""
        return _LOCK if self == LIVE else _LOCK + 1 + zlib.crc32(f"{self.stars} {self.log}".encode())

    def star(self, name: str) -> str:
        """Returns a table or view of the stars as an SQL identifier."""
        return quoted(self.stars, name)

    def fill_in(self, template: str, **names: str) -> str:
        """Returns SQL with `{stars}`, `{log}` and the given names filled in."""
        return template.format(stars=quoted(self.stars), log=quoted(self.log), **names)


LIVE = Schemas()


@dataclass(frozen=True)
class Warehouse:
    """A connection to a database, and the schemas of one warehouse in it."""

    connection: PipelineConnection
    schemas: Schemas = LIVE

    def star(self, name: str) -> str:
        """Returns a table or view of the stars as an SQL identifier."""
        return self.schemas.star(name)

    def begin(self) -> AbstractContextManager[None]:
        """Begins a transaction."""
        return self.connection.begin()

    def statement(self, name: str, /, **names: str) -> str:
        """Returns `totes/warehouse/sql/<name>.sql` with the schemas' names and the given ones filled in."""
        return self.schemas.fill_in(sql("warehouse", name), **names)

    def execute(self, name: str, values: Mapping[str, object] | None = None, /, **names: str) -> Rows:
        """Runs a statement.

        Args:
            values: the values to bind.
            names: the SQL to fill in.
        """
        return self.connection.execute(self.statement(name, **names), values)

    def scalar(self, name: str, values: Mapping[str, object] | None = None, /, **names: str) -> Any:
        """Runs a statement, and returns the first value of its first row; None if there is no row."""
        return self.execute(name, values, **names).scalar()

    def run(self, statement: str) -> None:
        """Runs SQL that binds no values."""
        self.connection.execute(statement)

    def lock(self) -> None:
        """Waits until no other transaction changes this warehouse; others then wait until this one ends."""
        self.connection.execute("SELECT pg_catalog.pg_advisory_xact_lock(:key)", {"key": self.schemas.lock})
