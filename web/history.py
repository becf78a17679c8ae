"""The history of executions as two rows of bars: the rows that each loaded, and how long it took."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from totes.alerts.executions import Execution
from web.progress import Status, execution_status

# Of a bar, of the space between two, and of each row of bars; what is drawn is stretched to the width that there is.
WIDTH, GAP, HEIGHT = 8, 2, 40
# With fewer executions bars would be as broad as buttons.
FEWEST = 24
# A bar that is there is seen.
LOWEST = 2.0


@dataclass(frozen=True)
class Bar:
    """An execution; the heights are on a logarithmic scale, because the first load has a thousand times the rows."""

    execution: str
    status: Status
    x: int
    rows: int
    seconds: float
    rows_height: float
    seconds_height: float


@dataclass(frozen=True)
class History:
    """Bars from the oldest on the left to the newest on the right."""

    width: int
    bars: Sequence[Bar]

    @property
    def most_rows(self) -> int:
        return max((bar.rows for bar in self.bars), default=0)

    @property
    def longest(self) -> float:
        return max((bar.seconds for bar in self.bars), default=0.0)


def history(executions: Sequence[Execution], now: datetime) -> History:
    """The history of executions, which are given newest first."""
    slots = max(FEWEST, len(executions))
    moved = [rows_loaded(execution) for execution in executions]
    spans = [((execution.stopped or now) - execution.started).total_seconds() for execution in executions]
    bars = [
        Bar(
            execution=execution.name,
            status=execution_status(execution),
            x=(slots - 1 - number) * (WIDTH + GAP),
            rows=rows,
            seconds=seconds,
            rows_height=_height(rows, max(moved)),
            # In tenths of a second, below which nothing differs to an eye.
            seconds_height=_height(seconds * 10, max(spans) * 10),
        )
        for number, (execution, rows, seconds) in enumerate(zip(executions, moved, spans, strict=True))
    ]
    return History(slots * (WIDTH + GAP) - GAP, bars[::-1])


def rows_loaded(execution: Execution) -> int:
    """The rows that an execution wrote into the warehouse."""
    load = execution.output.get("load", {})
    return sum(sum(load.get(name, {}).values()) for name in ("inserted", "updated", "tombstones"))


def _height(value: float, most: float) -> float:
    if value <= 0:
        return 0.0
    return round(max(LOWEST, HEIGHT * math.log1p(value) / math.log1p(most)), 1)
