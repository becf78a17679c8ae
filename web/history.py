"""Draws the executions' history as two rows of bars: loaded rows, and duration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from totes.alerts.executions import Execution
from web.progress import Status, execution_status

# A bar's width, the gap between bars, and a row's height. The drawing is stretched to the available width.
WIDTH, GAP, HEIGHT = 8, 2, 40
# The least number of slots, so that a few bars are not too wide.
FEWEST = 24
# The least height of a bar, so that it is visible.
LOWEST = 2.0


@dataclass(frozen=True)
class Bar:
    """An execution's bars. The heights are logarithmic, because the first load has about 1,000 times as many rows."""

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
    """Returns the history of executions, given newest first."""
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
            # In tenths of a second; smaller differences are invisible.
            seconds_height=_height(seconds * 10, max(spans) * 10),
        )
        for number, (execution, rows, seconds) in enumerate(zip(executions, moved, spans, strict=True))
    ]
    return History(slots * (WIDTH + GAP) - GAP, bars[::-1])


def rows_loaded(execution: Execution) -> int:
    """Returns the number of rows that an execution wrote to the warehouse."""
    load = execution.output.get("load", {})
    return sum(sum(load.get(name, {}).values()) for name in ("inserted", "updated", "tombstones"))


def _height(value: float, most: float) -> float:
    if value <= 0:
        return 0.0
    return round(max(LOWEST, HEIGHT * math.log1p(value) / math.log1p(most)), 1)
