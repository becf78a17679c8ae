"""Measures the coverage of some tests only: under measurement, a test takes up to three times as long.

`make test` starts the measurement in each worker, so that imports count. From the first test on, it is on for MEASURED
alone. They reach 97 % of the lines that all tests reach.
"""

import os

import pytest
from coverage import Coverage

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


class MeasuresSome:
    """A plugin that switches the measurement on and off."""

    def __init__(self, measurement: Coverage) -> None:
        self._measurement = measurement
        self._is_on = True

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
            self._measurement.stop()
            os.environ.pop(_FOR_PROGRAMS)


_IS_MEASURED = pytest.StashKey[bool]()


def measure_some(config: pytest.Config) -> None:
    """Registers the plugin if coverage measures this process and it runs tests."""
    measurement = Coverage.current()
    if measurement and hasattr(config, "workerinput"):
        config.pluginmanager.register(MeasuresSome(measurement))
