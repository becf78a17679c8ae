"""Reads the log lines of a state's function in an execution."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cli.errors import EXPECTED
from cli.render.log_lines import LogLine, read_lines
from totes.runtime.names import FUNCTIONS
from web.workflow import State

if TYPE_CHECKING:
    from totes.alerts.executions import Execution
    from totes.runtime.names import Names

READ_SECONDS = 1.0
# A line may arrive seconds after the execution's end.
COMPLETE_AFTER = timedelta(seconds=10)


class LineReader:
    """Reads the lines of the state that is shown, and caches them."""

    def __init__(self, names: "Names") -> None:
        self._names = names
        self._function_of = {names.function(name): name for name in FUNCTIONS}
        self._known: tuple[str, str] | None = None
        self._lines: Sequence[LogLine] = ()
        self._due = 0.0

    def read(self, execution: "Execution", state: State) -> Sequence[LogLine] | None:
        """Returns a state's lines, oldest first; None if it has no function, or its log can't be read."""
        function = self._function_of.get(state.function or "")
        if function is None:
            return None
        wanted = (execution.arn, function)
        if wanted != self._known or time.monotonic() >= self._due:
            try:
                self._lines = read_lines(self._names, execution, functions=[function])
            except EXPECTED:
                return None
            self._known = wanted
            complete = execution.stopped and datetime.now(UTC) - execution.stopped > COMPLETE_AFTER
            self._due = float("inf") if complete else time.monotonic() + READ_SECONDS
        return self._lines
