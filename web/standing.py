"""Reads the pipeline's standing: the heads of the three logs, the tables' last changes, and the schedule."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from cli.deployment import WarehouseEmpty
from cli.errors import EXPECTED, one_line
from cli.progress import Freshness, LogHead, TableChange, freshness, last_changes, last_success, read_logs
from cli.schedule import Schedule, read_schedule
from totes.alerts.executions import Execution

if TYPE_CHECKING:
    from totes.runtime.names import Names

# The least interval between reads: each needs a connection to the warehouse and a dozen calls.
READ_SECONDS = 1.0


@dataclass(frozen=True)
class Standing:
    """The pipeline's state when it was last read.

    Attributes:
        success: the newest execution that SUCCEEDED.
        changes: each table's last change, as of the last time the warehouse was reachable.
        trouble: why the other fields can't be read, or None.
    """

    heads: Sequence[LogHead] = ()
    success: Execution | None = None
    changes: Sequence[TableChange] = ()
    schedule: Schedule | None = None
    trouble: str | None = None

    def freshness(self, now: datetime) -> Freshness | None:
        return freshness(self.heads, self.success, now) if self.heads else None

    def change_of(self, table: str) -> TableChange | None:
        """Returns a table's last change; None if it has never changed."""
        return next((change for change in self.changes if change.table == table), None)

    @property
    def unread(self) -> list[LogHead]:
        """Returns the logs that can't be read."""
        return [head for head in self.heads if head.trouble]


class StandingReader:
    """Reads a stage's standing, and caches it for READ_SECONDS."""

    def __init__(self, names: "Names") -> None:
        self._names = names
        self._known = Standing()
        self._due = 0.0

    def read(self) -> Standing:
        """Returns the standing. If a part can't be read, its place has the error and the other parts are still read."""
        if time.monotonic() >= self._due:
            try:
                self._known = self._read()
            except EXPECTED as error:
                self._known = Standing(changes=self._known.changes, trouble=one_line(error))
            self._due = time.monotonic() + READ_SECONDS
        return self._known

    def forget(self) -> None:
        """Clears the cache."""
        self._due = 0.0

    def _read(self) -> Standing:
        heads = read_logs(self._names)
        standing = Standing(heads, last_success(self._names), self._known.changes, read_schedule(self._names))
        return standing if standing.unread else replace(standing, changes=self._changes(heads[-1:]))

    def _changes(self, loaded: Sequence[LogHead]) -> Sequence[TableChange]:
        if loaded == self._known.heads[-1:]:
            return self._known.changes
        try:
            return last_changes(self._names)
        except WarehouseEmpty:
            return ()
