"""Decides which tests run together: in which tier, in which worker, measured or not.

The tiers are marks: `-m "not server"` is the fast one. With `-n 2` each worker has its own PostgreSQL, stack and mocked
AWS. A worker takes whole files, because a file's tests share a slow set-up.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

# Some of their tests start a server in a process of its own, which no fixture shows.
SERVED = ("tests/integration/", "tests/benchmarks/test_bench.py::test_quick_bench")
# The tests of one of these share a deployment, a stack, or the templates that osls compiles.
ONE_WORKER = (
    ("tests/deploy/",),
    ("tests/page/",),
    ("tests/unit/infrastructure/", "tests/unit/local/aws/test_template.py"),
)
# The longest come first, so that no worker still runs one when the others are done.
LONGEST = (
    "tests/deploy/",
    "tests/faults/",
    "tests/integration/",
    "tests/page/",
    "tests/machine/",
    "tests/unit/infrastructure/",
)


class ByFile(LoadScopeScheduling):
    """Gives a worker all tests of a file at once, or all tests of a group in ONE_WORKER."""

    def _split_scope(self, nodeid: str) -> str:
        return next((parts[0] for parts in ONE_WORKER if nodeid.startswith(parts)), nodeid.partition("::")[0])


def sort_into_tiers(items: list[pytest.Item]) -> None:
    """Marks each test that uses the server, and sorts the longest to the front."""
    for item in items:
        served = not {"postgres", "stack"}.isdisjoint(getattr(item, "fixturenames", ()))
        if served or item.nodeid.startswith(SERVED):
            item.add_marker(pytest.mark.server)
    items.sort(
        key=lambda item: next((n for n, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))
    )
