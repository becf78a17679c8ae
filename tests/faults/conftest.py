"""One stack for all rows of the catalogue. Each test has its own databases, buckets, secrets and history checker."""

import io
from collections.abc import Generator, Iterator, Mapping
from datetime import timedelta
from operator import itemgetter
from types import SimpleNamespace

import pytest

from local.stack import Stack
from tests.conftest import MakesPipelines, Start
from tests.faults import table
from tests.faults.catalogue import Catalogue, Part
from tests.faults.invoker import InProcess, Switchboard
from tests.faults.scenario import Scenario, functions
from tests.support.executions import forget_executions
from tests.support.loaded import Loaded
from tests.support.model import HistoryChecker
from tests.support.pipeline import Pipeline
from totes.runtime import aws

RESULTS = pytest.StashKey[Catalogue]()
PART = "part of the catalogue"
INTERPRETER = "moto.stepfunctions.parser.asl.component.common.retry.retrier_decl.time"
SDK = "botocore.endpoint.time"


@pytest.fixture(scope="package")
def in_process() -> InProcess:
    return InProcess(functions())


@pytest.fixture(scope="package")
def switchboard(in_process: InProcess) -> Switchboard:
    return Switchboard(in_process)


@pytest.fixture(scope="package")
def stack(switchboard: Switchboard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOTES_HOME", str(tmp_path_factory.mktemp("home")))
        with Stack(invoker=switchboard) as stack:
            yield stack


@pytest.fixture(scope="package")
def loaded_small(stack: Stack, stacked_pipelines: MakesPipelines, small_totesys: str) -> Iterator[Loaded]:
    """Yields the state after the first run of a pipeline with a small totesys."""
    with stacked_pipelines(small_totesys) as pipeline:
        yield Loaded.by_running(pipeline)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Start:
    """Returns the state that a test starts from: a small pipeline that has run once, unless `on` marks the test."""
    found: Start = request.getfixturevalue(getattr(request, "param", "loaded_small"))
    return found


@pytest.fixture
def small(stacked_pipelines: MakesPipelines, start: Start) -> Iterator[Pipeline]:
    """Yields the test's pipeline."""
    with stacked_pipelines(start) as pipeline:
        yield pipeline


@pytest.fixture
def scenario(
    stack: Stack,
    switchboard: Switchboard,
    in_process: InProcess,
    small: Pipeline,
    start: Start,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scenario]:
    waits: list[float] = []
    monkeypatch.setattr(INTERPRETER, SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(SDK, SimpleNamespace(sleep=lambda _seconds: None))
    monkeypatch.setitem(aws.RETRIES, "backoff", {"init_backoff": timedelta(milliseconds=1)})
    before = start.history_checker if isinstance(start, Loaded) else None
    forget_executions()
    with HistoryChecker(small, before) as history_checker:
        made = Scenario(stack, small, history_checker, switchboard, in_process, log, waits)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-promise", action="store_true", help="write the table of faults into docs/promise.md")
    parser.addoption("--all-cases", action="store_true", help="run every case of each scenario, and not just the first")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Selects one case of each scenario, which is enough for every change; `make faults` runs them all."""
    if config.getoption("--all-cases", default=False) or config.option.keyword:
        return
    first: dict[str, pytest.Item] = {}
    for item in items:
        if item.get_closest_marker("fault"):
            first.setdefault(item.nodeid.partition("[")[0], item)
    others = [item for item in items if item.get_closest_marker("fault") and item not in first.values()]
    if others and not any("::" in argument for argument in config.args):
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault: a row of the catalogue; see tests/faults/scenario.py")
    config.stash[RESULTS] = Catalogue()
    # A worker passes its reports on to the process that started it, which keeps the books.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Bookkeeper())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if declared := item.get_closest_marker("fault"):
        scenario = getattr(item, "funcargs", {}).get("scenario")
        part = Part(file=item.path.name, **declared.kwargs)
        place = item.session.items.index(item)
        report.user_properties.append((PART, (place, part.to_send(scenario and scenario.seen))))
    return report


class Bookkeeper:
    """Records what each test of a row has shown, in any process, in the order of the files."""

    def __init__(self) -> None:
        self._reports: list[tuple[int, Mapping[str, str], pytest.TestReport]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if sent := dict(report.user_properties).get(PART):
            self._reports.append((*sent, report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        results = session.config.stash[RESULTS]
        for _, sent, report in sorted(self._reports, key=itemgetter(0)):
            results.note(report, *Part.received(sent))
        if not results.rows:
            return
        results.write()
        if not (results.complete and results.passed):
            return
        if session.config.getoption("--write-promise", default=False):
            table.write_promise(results.rows)
        elif table.promise_is_stale(results.rows):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash[RESULTS]
    if results.complete and results.passed and table.promise_is_stale(results.rows):
        terminalreporter.line(
            "docs/promise.md differs from the results of the faults: run `make faults`, and commit it.", red=True
        )
