"""F20 to F27, and F73: failures of both databases' connections, and of the poolers in front of them."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pg8000.native import identifier, literal

from local.postgres.databases import LOADER, READER
from tests.faults.scenario import HEAL, HOLD, Scenario, fault
from tests.support.injection import at_statement
from totes.postgres.connection import TOTESYS, WAREHOUSE, connected
from totes.warehouse.warehouse import Warehouse

AMENDED = "UPDATE sales_order SET agreed_delivery_location_id = %s WHERE sales_order_id = %s"
OURS = {"source": READER, "warehouse": LOADER}
RETRIES = 4


def point(scenario: Scenario, which: str, **changes: Any) -> None:
    """Changes the secret of one of the two databases; without changes it is correct again."""
    scenario.pipeline.put_secret(which, getattr(scenario.pipeline, which), OURS[which], **changes)


def end_sessions(scenario: Scenario, application: str) -> None:
    scenario.pipeline.postgres.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = {literal(application)}"
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the time-outs of locks and statements."""
    monkeypatch.setattr("totes.source.snapshot.LOCKING_SECONDS", 0.15)
    for name, database in (("ingest.TOTESYS", TOTESYS), ("load.WAREHOUSE", WAREHOUSE)):
        hasty = {**database.session, "lock_timeout": "150ms", "statement_timeout": "2s"}
        monkeypatch.setattr(f"totes.{name}", replace(database, session=hasty))


@fault("F20", "connection refused, or an unknown host", HOLD)
@pytest.mark.parametrize(
    "changes", [{"host": "127.0.0.1", "port": 1}, {"host": "nowhere.invalid"}], ids=["refused", "unknown"]
)
@pytest.mark.parametrize(("which", "error"), [("source", "SourceUnreachable"), ("warehouse", "WarehouseUnreachable")])
def test_f20_database_that_is_not_there_holds(
    scenario: Scenario, which: str, error: str, changes: dict[str, Any]
) -> None:
    scenario.totesys(AMENDED, 1, 7)
    point(scenario, which, **changes)

    failed = scenario.run()

    assert (failed.error, failed.retried) == (error, [error] * RETRIES)
    assert f"No connection to {'totesys' if which == 'source' else 'the warehouse'}" in failed.mail
    point(scenario, which)
    scenario.run()


@fault("F20", "connection refused for a moment", HEAL)
def test_f20_database_that_comes_back_heals(scenario: Scenario) -> None:
    scenario.totesys(AMENDED, 1, 7)
    point(scenario, "source", host="127.0.0.1", port=1)

    with scenario.before("ingest", lambda: point(scenario, "source"), attempt=3):
        healed = scenario.run()

    assert healed.retried == ["SourceUnreachable"] * 2
    assert healed.output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F21", "a backend is killed in the middle of a read", HEAL)
@pytest.mark.parametrize("moment", ["count(*)", "COPY (SELECT"], ids=["while it counts", "before it reads"])
def test_f21_killed_backend_heals_with_a_fresh_snapshot(scenario: Scenario, moment: str) -> None:
    scenario.totesys(AMENDED, 1, 7)

    def kill() -> None:
        scenario.totesys(AMENDED, 1, 8)
        end_sessions(scenario, "totes-ingest")

    with at_statement(moment, kill):
        healed = scenario.run()

    assert healed.retried == ["SourceUnreachable"]
    # The second snapshot has the rows that were written after the first.
    assert healed.output["ingest"]["rows"] == {"sales_order": 2}


@fault("F22", "a query hangs on a lock", HOLD)
@pytest.mark.usefixtures("impatient")
def test_f22_lock_that_lasts_holds_and_is_named(scenario: Scenario) -> None:
    scenario.totesys(AMENDED, 1, 7)
    with scenario.session() as other:
        cursor = other.cursor()
        cursor.execute("LOCK TABLE staff IN ACCESS EXCLUSIVE MODE")
        cursor.execute("SELECT pg_backend_pid()")
        ((pid,),) = cursor.fetchall()

        failed = scenario.run()

    assert (failed.error, failed.retried) == ("SourceBusy", ["SourceBusy"] * RETRIES)
    assert (
        f'could not obtain lock on relation "public.staff"; SQLSTATE 55P03; locks are held by pid {pid}' in failed.mail
    )
    scenario.run()


@fault("F22", "a statement takes too long", HOLD)
@pytest.mark.usefixtures("impatient")
def test_f22_statement_that_hangs_is_given_up(scenario: Scenario) -> None:
    scenario.totesys(AMENDED, 1, 7)
    sleep = "BEGIN PERFORM pg_sleep(60); RETURN NEW; END"
    scenario.star(f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ {sleep} $$")
    scenario.star("CREATE TRIGGER slow BEFORE INSERT ON etl.batch FOR EACH ROW EXECUTE FUNCTION slow()")

    failed = scenario.run()

    assert (failed.error, failed.retried) == ("WarehouseBusy", ["WarehouseBusy"] * RETRIES)
    assert "statement timeout; SQLSTATE 57014" in failed.mail
    scenario.star("DROP TRIGGER slow ON etl.batch")
    scenario.run()


@fault("F23", "too many connections", HEAL)
@pytest.mark.parametrize("which", ["source", "warehouse"])
def test_f23_full_database_heals_by_retry(scenario: Scenario, which: str) -> None:
    scenario.totesys(AMENDED, 1, 7)
    database = identifier(getattr(scenario.pipeline, which))
    scenario.pipeline.postgres.execute(f"ALTER DATABASE {database} CONNECTION LIMIT 0")

    def room() -> None:
        scenario.pipeline.postgres.execute(f"ALTER DATABASE {database} CONNECTION LIMIT 1")

    stage = "ingest" if which == "source" else "load"
    with scenario.before(stage, room, attempt=3):
        healed = scenario.run()

    # A function never needs more than one connection.
    assert healed.retried == ["SourceBusy" if which == "source" else "WarehouseBusy"] * 2
    assert healed.output["load"]["inserted"] == {"fact_sales_order": 1}
    scenario.pipeline.postgres.execute(f"ALTER DATABASE {database} CONNECTION LIMIT -1")


@fault("F24", "a password is rotated while the function is warm", HEAL)
@pytest.mark.parametrize("first", ["database", "secret"])
def test_f24_rotated_password_heals(scenario: Scenario, first: str) -> None:
    scenario.totesys(AMENDED, 1, 7)
    postgres, old = scenario.pipeline.postgres, scenario.pipeline.passwords[READER]

    def database(password: str) -> None:
        postgres.execute(f"ALTER ROLE {READER} PASSWORD {literal(password)}")

    def secret(password: str) -> None:
        point(scenario, "source", password=password)

    steps = [database, secret] if first == "database" else [secret, database]
    steps[0]("new")
    try:
        with scenario.before("ingest", lambda: steps[1]("new"), attempt=2):
            healed = scenario.run()
        assert healed.retried == ["SourceUnreachable"]
        assert "new" not in scenario.log.getvalue().split()
    finally:
        database(old)
        secret(old)


@fault("F25", "the warehouse fails over, and the socket is dead", HEAL)
def test_f25_dead_socket_heals(scenario: Scenario) -> None:
    scenario.totesys(AMENDED, 1, 7)

    with at_statement("pg_advisory_xact_lock", lambda: end_sessions(scenario, "totes-load")):
        healed = scenario.run()

    assert healed.retried == ["WarehouseUnreachable"]
    assert healed.output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F25", "the warehouse fails over, and the old primary is read-only", HOLD)
def test_f25_warehouse_that_stays_read_only_holds(scenario: Scenario) -> None:
    scenario.totesys(AMENDED, 1, 7)
    database = identifier(scenario.pipeline.warehouse)
    scenario.pipeline.postgres.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")

    failed = scenario.run()

    assert (failed.error, failed.retried) == ("WarehouseBusy", ["WarehouseBusy"] * RETRIES)
    assert "read-only transaction; SQLSTATE 25006" in failed.mail
    scenario.pipeline.postgres.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    scenario.run()


LOAD_WAITS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'totes-load' AND wait_event_type = 'Lock'"


@fault("F26", "a deadlock", HEAL)
def test_f26_deadlock_heals(scenario: Scenario) -> None:
    """The other session has the design and wants the log. Load has the log and wants the design."""
    scenario.totesys("UPDATE design SET file_name = 'new.json' WHERE design_id = 7")
    wants: list[threading.Thread] = []

    with scenario.pipeline.connection(scenario.pipeline.warehouse) as other:
        cursor = other.cursor()
        # The session that checks first is the victim.
        cursor.execute("SET deadlock_timeout = '60s'")
        cursor.execute("UPDATE dim_design SET file_name = 'theirs' WHERE design_id = 7")

        def want() -> None:
            # Load writes its entry and the designs in one message, so it has the log once it waits.
            while not scenario.star(LOAD_WAITS):
                time.sleep(0.02)
            cursor.execute("LOCK TABLE etl.batch IN EXCLUSIVE MODE")
            other.rollback()

        def cross() -> None:
            wants.append(threading.Thread(target=want))
            wants[0].start()

        with at_statement("staged_dim_design", cross):
            healed = scenario.run()
        wants[0].join()

    assert healed.retried == ["WarehouseBusy"]
    assert healed.output["load"]["updated"] == {"dim_design": 1}


@fault("F26", "a serialization failure", HEAL)
def test_f26_serialization_failure_heals(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator's default is stricter: the batch's snapshot is older than the rows that it wants to update."""
    scenario.totesys("UPDATE design SET file_name = 'new.json' WHERE design_id = 7")
    strict = replace(WAREHOUSE, session={**WAREHOUSE.session, "transaction_isolation": "serializable"})
    monkeypatch.setattr("totes.load.WAREHOUSE", strict)

    def overtake() -> None:
        scenario.star("UPDATE dim_design SET file_name = 'theirs' WHERE design_id = 7")

    with at_statement('COPY "pg_temp"', overtake):
        healed = scenario.run()

    assert healed.retried == ["WarehouseBusy"]
    assert scenario.star("SELECT file_name FROM dim_design WHERE design_id = 7") == [["new.json"]]


@fault("F27", "an earlier execution has vanished, but its session still holds its locks", HOLD)
@pytest.mark.usefixtures("impatient")
def test_f27_lock_of_the_vanished_is_waited_for_only_so_long(scenario: Scenario) -> None:
    scenario.totesys(AMENDED, 1, 7)
    pipeline = scenario.pipeline
    with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-load") as vanished:
        Warehouse(vanished).lock()
        pid = vanished.execute("SELECT pg_backend_pid()").scalar()

        failed = scenario.run()

        assert (failed.error, failed.retried) == ("WarehouseBusy", ["WarehouseBusy"] * RETRIES)
        assert f"locks are held by pid {pid} (totes_loader, totes-load)" in failed.mail
        # PostgreSQL reaps this process.
        end_sessions(scenario, "totes-load")
    scenario.run()


@contextlib.contextmanager
def pooler(folder: Path, refusal: str, seen: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Runs a pooler that refuses every connection with the fields that PgBouncer sends, and first calls `seen`."""
    body = f"SFATAL\0C08P01\0M{refusal}\0\0".encode()
    path = folder / ".s.PGSQL.5432"

    def refuse(server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                if not connection.recv(1024):
                    return
                seen()
                connection.sendall(b"E" + (len(body) + 4).to_bytes(4, "big") + body)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=refuse, args=(server,))
        thread.start()
        try:
            yield
        finally:
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(str(path))
            thread.join()


@fault("F73", "a pooler refuses the connection for a permanent reason", HOLD)
@pytest.mark.parametrize("refusal", ["unsupported startup parameter: client_encoding", "no such database: totesys"])
@pytest.mark.parametrize(("which", "name"), [("source", "totesys"), ("warehouse", "the warehouse")])
def test_f73_refusal_of_a_pooler_holds_at_once(
    scenario: Scenario, tmp_path: Path, which: str, name: str, refusal: str
) -> None:
    scenario.totesys(AMENDED, 1, 7)
    point(scenario, which, host=str(tmp_path))

    with pooler(tmp_path, refusal):
        failed = scenario.run()

    assert (failed.error, failed.retried) == ("AccessDenied", [])
    assert f"The pooler before {name} refuses: {refusal}" in failed.cause
    assert "the pooler's configuration" in failed.remedy
    point(scenario, which)
    scenario.run()


@fault("F73", "a pooler has no connection left for a moment", HEAL)
def test_f73_pooler_that_is_full_for_a_moment_heals(scenario: Scenario, tmp_path: Path) -> None:
    scenario.totesys(AMENDED, 1, 7)
    point(scenario, "source", host=str(tmp_path))

    with pooler(tmp_path, "no more connections allowed (max_client_conn)", seen=lambda: point(scenario, "source")):
        healed = scenario.run()

    assert healed.retried == ["SourceUnreachable"]


@fault("F73", "a password has letters that SASLprep forbids", HEAL)
def test_f73_password_of_any_letters_heals(scenario: Scenario) -> None:
    password = "\N{GRINNING FACE}\x07\N{ZERO WIDTH SPACE}\u0378"
    scenario.totesys(AMENDED, 1, 7)
    roles = {"source": READER, "warehouse": LOADER}
    for which, role in roles.items():
        scenario.pipeline.postgres.execute(f"ALTER ROLE {role} PASSWORD {literal(password)}")
        point(scenario, which, password=password)
    try:
        scenario.run()
    finally:
        for which, role in roles.items():
            old = scenario.pipeline.passwords[role]
            scenario.pipeline.postgres.execute(f"ALTER ROLE {role} PASSWORD {literal(old)}")
            point(scenario, which)
