import contextlib
import io
from collections.abc import Callable
from dataclasses import replace

import pg8000.dbapi
import pytest

from tests.support.pipeline import Pipeline
from totes.errors import AccessDenied, DatabaseFailed
from totes.postgres.connection import TOTESYS, WAREHOUSE, Database, connected
from totes.postgres.driver import PipelineConnection
from totes.postgres.session import LIMITS, READ_BACK, SUPERUSERS, VALUES, check_settings

Connects = Callable[[Database], contextlib.AbstractContextManager[PipelineConnection]]


@pytest.fixture
def connect(pipeline: Pipeline) -> Connects:
    credentials = pipeline.credentials(pipeline.warehouse)
    return lambda database: connected(database, credentials, "totes-test")


def settings(connection: PipelineConnection) -> dict[str, str]:
    shown = {name: connection.execute(f"SHOW {name}").scalar() for name in [*READ_BACK, *LIMITS]}
    return {name: str(value) for name, value in shown.items()}


def test_each_transaction_has_its_settings(connect: Connects) -> None:
    with connect(WAREHOUSE) as connection:
        for number in range(2):
            with contextlib.suppress(pg8000.dbapi.DatabaseError), connection.begin():
                # The transaction's own changes end with it.
                connection.execute("SET LOCAL DateStyle = 'SQL, DMY'")
                connection.execute(f"SELECT 1 / {number}")
            with connection.begin():
                found = settings(connection)
            assert {name: found[name] for name in VALUES} == VALUES
            assert {name: found[name] for name in SUPERUSERS} == SUPERUSERS
            assert found["transaction_isolation"] == "read committed"
            assert found["lock_timeout"] == "20s"


def test_isolation_can_be_set_and_tables_locked_before_the_snapshot(connect: Connects) -> None:
    statements = "LOCK TABLE pg_class IN ACCESS SHARE MODE; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
    with connect(WAREHOUSE) as connection, connection.begin():
        connection.execute(statements)
        assert connection.execute("SHOW transaction_isolation").scalar() == "repeatable read"


def test_setting_that_the_server_does_not_know_is_left_out(connect: Connects) -> None:
    newer = replace(WAREHOUSE, session={"a_later_setting": "on", **WAREHOUSE.session, "another_later_setting": "on"})
    with connect(newer) as connection:
        for _ in range(2):
            with connection.begin():
                assert settings(connection)["DateStyle"] == "ISO, YMD"


def test_setting_that_is_refused_is_an_error(connect: Connects) -> None:
    with (
        pytest.raises(AccessDenied, match="permission denied to set parameter"),
        connect(replace(WAREHOUSE, session={"zero_damaged_pages": "off"})) as connection,
    ):
        connection.execute("SELECT 1")


def test_copied_bytes_are_utf8_whatever_the_role_says(pipeline: Pipeline, connect: Connects) -> None:
    pipeline.star(f"ALTER ROLE totes_loader IN DATABASE \"{pipeline.warehouse}\" SET client_encoding = 'latin1'")
    rows = io.BytesIO()
    with connect(WAREHOUSE) as connection, connection.begin():
        assert connection.execute("SELECT convert_to(:name, 'UTF8')", {"name": "Zoë"}).scalar() == "Zoë".encode()
        connection.execute("COPY (SELECT 'Zoë') TO STDOUT", stream=rows)
    assert rows.getvalue() == "Zoë\n".encode()


def test_settings_that_differ_are_named() -> None:
    check_settings("totesys", READ_BACK)
    with pytest.raises(DatabaseFailed) as caught:
        check_settings("totesys", READ_BACK | {"DateStyle": "SQL, DMY", "zero_damaged_pages": "on"})
    assert str(caught.value).startswith(
        "A transaction on totesys does not have the settings that it needs: DateStyle is 'SQL, DMY' instead of "
        "'ISO, YMD', zero_damaged_pages is 'on' instead of 'off'. A pooler, a proxy or the server drops or changes "
    )


def test_setting_of_a_superuser_is_for_a_superuser_to_reset() -> None:
    with pytest.raises(DatabaseFailed, match=r"role is 'replica' instead of 'origin'\. Have a superuser"):
        check_settings("the warehouse", {"session_replication_role": "replica"})


def test_settings_are_read_back(pipeline: Pipeline, connect: Connects) -> None:
    pipeline.star(f'ALTER ROLE totes_loader IN DATABASE "{pipeline.warehouse}" SET zero_damaged_pages = on')
    with pytest.raises(DatabaseFailed, match="zero_damaged_pages is 'on'"), connect(WAREHOUSE) as connection:
        connection.execute("SELECT 1")


def test_totesys_has_more_settings_than_the_warehouse() -> None:
    assert TOTESYS.session.items() > WAREHOUSE.session.items() > VALUES.items()


def test_rows_that_a_policy_would_hide_are_an_error(pipeline: Pipeline, connect: Connects) -> None:
    pipeline.star("CREATE TABLE public.secured (id integer)")
    pipeline.star("ALTER TABLE public.secured ENABLE ROW LEVEL SECURITY")
    pipeline.star("GRANT SELECT ON public.secured TO totes_loader")
    with (
        pytest.raises(AccessDenied, match=r"Row-level security of the warehouse .* SQLSTATE 42501\. ALTER ROLE"),
        connect(WAREHOUSE) as connection,
    ):
        connection.execute("SELECT * FROM secured")
