"""Which tests run together: in which tier, in which worker, measured or not.

The tiers are marks: `-m "not server"` is the fast one. With `-n 2` each worker has its own PostgreSQL, stack and mocked
AWS, and takes whole files, because tests of one file share what is slow to set up.
"""

import contextlib
from collections.abc import Iterator

import coverage
import pytest
from xdist.scheduler import LoadScopeScheduling

# Their tests share one deployment, or one stack.
ONE_WORKER = ("tests/deploy/", "tests/page/")
# The longest come first, so that no worker is left with one when the others are done.
LONGEST = ("tests/deploy/", "tests/faults/", "tests/integration/", "tests/page/", "tests/machine/")
# They run the local stack. Measuring them takes half as long again, most of it in what stands in for AWS.
UNMEASURED = (
    "tests/faults/",
    "tests/integration/test_console.py",
    "tests/integration/test_operator.py",
    "tests/machine/",
    "tests/page/",
)


class ByFile(LoadScopeScheduling):
    """Gives a worker all tests of a file at once, or of a folder in ONE_WORKER."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in ONE_WORKER if nodeid.startswith(folder)), nodeid.partition("::")[0])


def sort_into_tiers(items: list[pytest.Item]) -> None:
    """Marks each test that uses the server, and sorts the longest to the front."""
    for item in items:
        if not {"postgres", "stack"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)
    items.sort(
        key=lambda item: next((n for n, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))
    )


@contextlib.contextmanager
def unmeasured() -> Iterator[None]:
    """Measures no coverage in the block, neither here nor in the processes that are started in it."""
    measuring = coverage.Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG")
        yield
    measuring.start()
