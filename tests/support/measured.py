"""Measures the coverage of some tests, as a plugin: under measurement, a test takes up to twice as long.

    .venv/bin/coverage run -m pytest -n 3 -p tests.support.measured

In a worker, the measurement is on while `totes` and `functions` are imported, and then for the tests named below. They
reach 96 % of the lines and branches.
"""

import os
from importlib import import_module
from pkgutil import walk_packages

import pytest
from coverage import Coverage

import functions
import totes

MEASURED = ("tests/unit/totes/", "tests/unit/functions/")
# Of these, the first case of each test is measured.
FIRST_CASES = tuple(
    f"tests/integration/test_{name}.py" for name in ("load", "migrations", "reconcile", "replay", "rules", "swap")
)
# These run the same lines hundreds of times, which other tests run, too.
REPEATING = tuple(
    f"tests/unit/totes/{name}.py" for name in ("alerts/test_weekend", "postgres/test_binary_copy", "test_round_trip")
)
# From this, coverage's own start-up takes its configuration in each Python that a test starts.
_FOR_PROGRAMS = "COVERAGE_PROCESS_CONFIG"
_IS_MEASURED = pytest.StashKey[bool]()


class MeasuresSome:
    """Switches the measurement on and off; it begins when it is off."""

    def __init__(self, measurement: Coverage) -> None:
        self._measurement = measurement
        self._is_on = False

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        seen: set[str] = set()
        for item in items:
            test = item.nodeid.partition("[")[0]
            is_first = test.startswith(FIRST_CASES) and test not in seen
            item.stash[_IS_MEASURED] = is_first or (test.startswith(MEASURED) and not test.startswith(REPEATING))
            seen.add(test)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        if item.stash[_IS_MEASURED] == self._is_on:
            return
        self._is_on = item.stash[_IS_MEASURED]
        if self._is_on:
            self._measurement.start()
        else:
            pause(self._measurement)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        # Not when the process exits, as coverage would: xdist kills a worker that takes its time.
        if self._is_on:
            pause(self._measurement)
        self._measurement.save()


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Imports what is measured, whichever test would be the first to import it. Collects the tests unmeasured."""
    measurement = Coverage.current()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # The process that starts the workers runs no test. Its environment gets the measurement to them.
        return
    if measurement is None:
        raise pytest.UsageError("Nothing measures this process: start it as `coverage run -m pytest`.")
    for package in (totes, functions):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    pause(measurement)
    early_config.pluginmanager.register(MeasuresSome(measurement))


def pause(measurement: Coverage) -> None:
    """Stops the measurement, also of programs that tests start."""
    measurement.stop()
    os.environ.pop(_FOR_PROGRAMS, None)
