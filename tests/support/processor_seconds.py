"""Measures processor time, as a plugin. Unlike elapsed time, it depends little on the machine's other work.

    .venv/bin/python -m pytest -n 3 -p tests.support.processor_seconds

It counts the seconds of the worker and of all its descendants: PostgreSQL, functions, browsers, pip. It reads /proc, so
it works on Linux only. All rows are in build/processor-seconds.csv; the summary shows the most expensive ones.
"""

import contextlib
import csv
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

REPORT = Path("build/processor-seconds.csv")
SHOWN = 40
_TICKS = os.sysconf("SC_CLK_TCK")


class Row(NamedTuple):
    """The time of one fixture's set-up, or of a test without the fixtures that it set up.

    Attributes:
        processor, elapsed: in seconds.
        began: seconds since the epoch.
    """

    worker: str
    kind: str
    name: str
    processor: float
    elapsed: float
    began: float


class ProcessorSeconds:
    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._inner = [(0.0, 0.0)]
        self.rows: list[Row] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Iterator[None]:
        # This counts from the process's start, so it includes the imports of plugins and conftest.py.
        result = yield
        self.rows.append(Row(self._worker, "start", "imports and collection", _used(), 0, time.time()))
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        with self._measured("test", item.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        with self._measured("fixture", f"{fixturedef.baseid}::{fixturedef.argname}"):
            return (yield)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["processor_seconds"] = [tuple(row) for row in self.rows]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.rows += [Row(*row) for row in getattr(node, "workeroutput", {}).get("processor_seconds", ())]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        REPORT.parent.mkdir(exist_ok=True)
        with REPORT.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([Row._fields, *self.rows])
        terminalreporter.section(f"{sum(row.processor for row in self.rows):.0f} s of a processor")
        for kind, most in (("fixture", SHOWN), ("test", SHOWN), ("start", 0)):
            rows = [row for row in self.rows if row.kind == kind]
            terminalreporter.line(f"{kind}: {sum(row.processor for row in rows):.0f} s")
            by_name: dict[str, list[float]] = defaultdict(list)
            for row in rows:
                by_name[row.name].append(row.processor)
            for name, spent in sorted(by_name.items(), key=lambda item: -sum(item[1]))[:most]:
                terminalreporter.line(f"  {sum(spent):7.2f} s in {len(spent):4}  {name}")

    @contextlib.contextmanager
    def _measured(self, kind: str, name: str) -> Iterator[None]:
        """Adds a row for the block, without the blocks inside it."""
        began, before = time.time(), _used()
        self._inner.append((0.0, 0.0))
        try:
            yield
        finally:
            used, elapsed = _used() - before, time.time() - began
            inner_used, inner_elapsed = self._inner.pop()
            outer_used, outer_elapsed = self._inner[-1]
            self._inner[-1] = (outer_used + used, outer_elapsed + elapsed)
            self.rows.append(Row(self._worker, kind, name, used - inner_used, elapsed - inner_elapsed, began))


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", {}).get("workerid", "main")
    config.pluginmanager.register(ProcessorSeconds(worker))


def _used() -> float:
    """Returns the processor time of this process and all its descendants, ended ones included."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system + _of_descendants(os.getpid())


def _of_descendants(pid: int) -> float:
    total = 0.0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                total += _of_process(int(child)) + _of_descendants(int(child))
    return total


def _of_process(pid: int) -> float:
    with contextlib.suppress(OSError):
        # utime, stime, cutime and cstime. The name, which may hold spaces, ends with the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / _TICKS
    return 0.0
