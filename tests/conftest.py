import contextlib
import functools
import gc
import hashlib
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import botocore.session
import pg8000.dbapi
import pytest
import sqlalchemy
from pg8000.native import identifier
from xdist.remote import Producer

from local.business.seed import seed
from local.business.trading import MEASURED_UNTIL
from local.postgres.databases import LOADER, READER, READER_RIGHTS, SOURCE_SCHEMA, new_credentials
from local.postgres.server import Postgres
from tests.support.alchemy import engine_of
from tests.support.clusters import oldest_installed
from tests.support.cold import forget_logs
from tests.support.loaded import Loaded
from tests.support.memory import memory
from tests.support.pipeline import REAL_DATA, Pipeline, import_extract
from tests.support.served_aws import served_aws
from tests.support.tiers import ByFile, sort_into_tiers
from totes.contracts import declarations
from totes.postgres.connection import WAREHOUSE
from totes.runtime import aws
from totes.runtime.log import logger, metrics
from totes.runtime.redaction import forget_secrets
from totes.source.windows import joined_tables
from totes.warehouse.tables import metadata

# The width of the terminal in which somebody runs the tests must not matter.
os.environ.pop("COLUMNS", None)
# No test may ever reach a real account.
os.environ.update(
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="eu-west-2",
    AWS_EC2_METADATA_DISABLED="true",
)

# A pipeline starts from the name of totesys' template, or from a pipeline that has run once.
Start = str | Loaded
MakesPipelines = Callable[[Start], AbstractContextManager[Pipeline]]
Declares = Callable[..., None]

_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Looks for no garbage among modules and tests, now or later: it took a third of the time to load them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        # Python's own 700 makes a tenth of what a test costs.
        gc.set_threshold(10_000)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sort_into_tiers(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    # By the order of collection, not by the number of tests in a file.
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def _servers_are_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test that starts a server of its own and lacks the mark `server`."""
    if request.node.get_closest_marker("server") is None:
        monkeypatch.setattr(Postgres, "start", _start_without_the_mark)


def _start_without_the_mark(_server: Postgres) -> None:
    pytest.fail("This test starts a PostgreSQL: mark it with @pytest.mark.server.")


@pytest.fixture(scope="session", autouse=True)
def _definitions_of_aws_are_read_once() -> Iterator[None]:
    """Shares the SDK's files between sessions: reading them takes most of a new session's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session", autouse=True)
def _passwords_are_salted_once() -> Iterator[None]:
    """Thousands of rounds of hashing would take a third of each login's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "pbkdf2_hmac", functools.cache(hashlib.pbkdf2_hmac))
        yield


@pytest.fixture(autouse=True)
def _fresh_clients() -> None:
    """Forgets the clients of AWS and the ends of logs: another test's AWS is gone."""
    aws._client.cache_clear()
    aws._store.cache_clear()
    forget_logs()


@pytest.fixture(autouse=True)
def _no_known_secrets() -> None:
    """Forgets the secrets: one test's password is an ordinary word in the next."""
    forget_secrets()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Sends the lines for CloudWatch to the test's standard output; totes.runtime.log keeps the one of its import."""
    stream = io.StringIO()
    for handler in logger.handlers:
        monkeypatch.setattr(handler, "stream", stream)
    # These come from the function's environment, which totes.runtime.log also reads when it is imported.
    monkeypatch.setattr(metrics, "namespace", "Totes")
    return stream


@pytest.fixture
def quarantined(monkeypatch: pytest.MonkeyPatch) -> Declares:
    """Declares tables of totesys with `quarantine = true`."""

    def declare(*tables: str) -> None:
        declared = {
            name: replace(table, quarantine=name in tables) for name, table in declarations.source_tables().items()
        }
        for module in ("source.changes", "source.snapshot", "backfill"):
            monkeypatch.setattr(f"totes.{module}.source_tables", lambda: declared)

    return declare


@pytest.fixture
def schemas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yields a copy of schemas/ from which the declarations are read. Change it before anything reads them."""
    copy = shutil.copytree(declarations.SCHEMAS, tmp_path / "schemas")
    monkeypatch.setattr(declarations, "SCHEMAS", copy)
    cached = (declarations.declared, metadata, joined_tables)
    for function in cached:
        function.cache_clear()
    yield copy
    for function in cached:
        function.cache_clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres(temporary=memory()) as server:
        for role in (READER, LOADER):
            server.execute(f"CREATE ROLE {identifier(role)} LOGIN")
        yield server


@pytest.fixture(scope="session")
def oldest_postgres() -> Path:
    """Returns the programs' folder of the oldest PostgreSQL that is installed besides the wheel's."""
    if not (programs := oldest_installed()):
        pytest.skip("no other PostgreSQL is installed: on Debian and Ubuntu, apt-get install postgresql")
    return programs


@pytest.fixture(scope="session")
def passwords(postgres: Postgres) -> dict[str, str]:
    return {role: str(new_credentials(postgres, role, "")["password"]) for role in (READER, LOADER)}


@pytest.fixture(scope="session")
def empty_totesys(postgres: Postgres) -> str:
    """Returns the name of a template database: totesys without a row."""
    postgres.create_database("template_empty")
    with contextlib.closing(postgres.connect("template_empty")) as connection:
        cursor = connection.cursor()
        for statement in (SOURCE_SCHEMA.read_text(encoding="utf-8"), *READER_RIGHTS):
            cursor.execute(statement)
        connection.commit()
    return "template_empty"


@pytest.fixture(scope="session")
def seeded_totesys(postgres: Postgres, empty_totesys: str) -> str:
    """Returns the name of a template database: totesys with our own seed, at a tenth of the real size."""
    _copy(postgres, empty_totesys, "template_seeded")
    with contextlib.closing(postgres.connect("template_seeded")) as connection:
        seed(connection, until=MEASURED_UNTIL, scale=0.1)
        connection.commit()
    return "template_seeded"


@pytest.fixture(scope="session")
def real_totesys(postgres: Postgres, empty_totesys: str) -> str:
    """Returns the name of a template database: the real totesys on 2024-08-19."""
    if not REAL_DATA.exists():
        pytest.skip("the extracts of the real totesys are not beside the checkout")
    _copy(postgres, empty_totesys, "template_2024_08_19")
    with contextlib.closing(postgres.connect("template_2024_08_19")) as connection:
        import_extract(connection, "2024-08-19")
    return "template_2024_08_19"


@pytest.fixture(scope="session")
def small_totesys(postgres: Postgres, empty_totesys: str) -> str:
    """Returns the name of a template database: a small totesys with some hundred orders."""
    _copy(postgres, empty_totesys, "template_drill")
    with contextlib.closing(postgres.connect("template_drill")) as connection:
        seed(connection, until=MEASURED_UNTIL, scale=0.02)
        connection.commit()
    return "template_drill"


@pytest.fixture(scope="session")
def loaded_seeded(postgres: Postgres, passwords: dict[str, str], seeded_totesys: str) -> Iterator[Loaded]:
    """Yields the state after the first run of a pipeline whose totesys has the seed's rows."""
    with _run_once(postgres, passwords, seeded_totesys) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def loaded_small(postgres: Postgres, passwords: dict[str, str], small_totesys: str) -> Iterator[Loaded]:
    """Yields the state after the first run of a pipeline with a small totesys."""
    with _run_once(postgres, passwords, small_totesys) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def pipelines(postgres: Postgres, passwords: dict[str, str]) -> MakesPipelines:
    """Returns a function that makes a pipeline from a prepared state."""
    return lambda start: _pipeline(postgres, passwords, start)


@pytest.fixture(scope="session")
def stacked_pipelines(postgres: Postgres, passwords: dict[str, str]) -> MakesPipelines:
    """Returns a function that makes a pipeline within the AWS of a running stack."""
    return lambda start: _stacked_pipeline(postgres, passwords, start)


@pytest.fixture
def pipeline(pipelines: MakesPipelines, empty_totesys: str) -> Iterator[Pipeline]:
    """Yields a pipeline with an empty totesys."""
    with pipelines(empty_totesys) as made:
        yield made


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Start:
    """Returns the state that `seeded` starts from: a pipeline that has run once, unless `on` marks the test."""
    found: Start = request.getfixturevalue(getattr(request, "param", "loaded_seeded"))
    return found


@pytest.fixture
def seeded(pipelines: MakesPipelines, start: Start) -> Iterator[Pipeline]:
    """Yields a pipeline that has run once; its totesys has the seed's rows."""
    with pipelines(start) as made:
        yield made


@pytest.fixture
def real(pipelines: MakesPipelines, real_totesys: str) -> Iterator[Pipeline]:
    """Yields a pipeline with the real totesys of 2024-08-19."""
    with pipelines(real_totesys) as made:
        yield made


@pytest.fixture
def totesys(postgres: Postgres, empty_totesys: str) -> Iterator[pg8000.dbapi.Connection]:
    """Yields a superuser's connection to an empty totesys."""
    with _database(postgres, empty_totesys) as name, contextlib.closing(postgres.connect(name)) as connection:
        yield connection


@pytest.fixture(scope="session")
def warehouse(postgres: Postgres, passwords: dict[str, str], seeded_totesys: str) -> Iterator[sqlalchemy.Engine]:
    """Yields a pipeline that has run once on our own seed, for tests that only read its warehouse."""
    with _loaded(postgres, passwords, seeded_totesys) as engine:
        yield engine


@pytest.fixture(scope="session")
def warehouse_2024_11_15(
    postgres: Postgres, passwords: dict[str, str], empty_totesys: str
) -> Iterator[sqlalchemy.Engine]:
    """Yields a pipeline that has run once on the real extract of 2024-11-15, for tests that only read its warehouse."""
    if not REAL_DATA.exists():
        pytest.skip("the extracts of the real totesys are not beside the checkout")
    with _database(postgres, empty_totesys) as source:
        with contextlib.closing(postgres.connect(source)) as connection:
            import_extract(connection, "2024-11-15")
        with _loaded(postgres, passwords, source) as engine:
            yield engine


@contextlib.contextmanager
def _loaded(postgres: Postgres, passwords: dict[str, str], template: str) -> Iterator[sqlalchemy.Engine]:
    with _databases(postgres, template) as (source, warehouse):
        # This AWS ends here: otherwise one that starts later would find its buckets.
        with served_aws():
            made = Pipeline(postgres, source, warehouse, passwords)
            made.run()
        yield engine_of(WAREHOUSE, made.credentials(warehouse))


@contextlib.contextmanager
def _run_once(postgres: Postgres, passwords: dict[str, str], template: str) -> Iterator[Loaded]:
    with _databases(postgres, template) as (source, warehouse):
        # Ends this AWS before any test starts its own.
        with served_aws():
            loaded = Loaded.by_running(Pipeline(postgres, source, warehouse, passwords))
        yield loaded


@contextlib.contextmanager
def _pipeline(postgres: Postgres, passwords: dict[str, str], start: Start) -> Iterator[Pipeline]:
    with served_aws(), _stacked_pipeline(postgres, passwords, start) as made:
        yield made


@contextlib.contextmanager
def _stacked_pipeline(postgres: Postgres, passwords: dict[str, str], start: Start) -> Iterator[Pipeline]:
    if isinstance(start, str):
        with _databases(postgres, start) as (source, warehouse):
            yield Pipeline(postgres, source, warehouse, passwords)
    else:
        with _databases(postgres, start.source, start.warehouse) as (source, warehouse):
            made = Pipeline(postgres, source, warehouse, passwords)
            start.put_lake(made)
            yield made


@contextlib.contextmanager
def _databases(postgres: Postgres, source: str, warehouse: str = "template0") -> Iterator[tuple[str, str]]:
    with _database(postgres, source) as copy, _database(postgres, warehouse, owner=LOADER) as other:
        yield copy, other


@contextlib.contextmanager
def _database(postgres: Postgres, template: str, owner: str = "postgres") -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _copy(postgres, template, name, owner)
    try:
        yield name
    finally:
        postgres.execute(f"DROP DATABASE {identifier(name)} WITH (FORCE)")


def _copy(postgres: Postgres, template: str, name: str, owner: str = "postgres") -> None:
    # Copying files takes half as long as the default on a server that does not wait for the disk.
    postgres.execute(
        f"CREATE DATABASE {identifier(name)} TEMPLATE {identifier(template)} OWNER {identifier(owner)} "
        "STRATEGY file_copy"
    )
