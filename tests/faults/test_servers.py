"""F60 to F63: totesys' server is restored, restarted or promoted, crashes, lags or runs out of ids."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from local.postgres.databases import SOURCE
from tests.conftest import MakesPipelines
from tests.faults.scenario import HEAL, HOLD, WARN, Scenario, fault
from tests.support.clusters import Cluster, add_databases, folder_for_clusters
from tests.support.pipeline import Pipeline
from totes.contracts.declarations import source_tables

AMENDED = "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = {}"
NEW_DESIGN = (
    "INSERT INTO design (design_id, created_at, design_name, file_location, file_name, last_updated) "
    "VALUES ({}, TIMESTAMP '2024-11-18', 'Granite', '/srv', 'granite.json', TIMESTAMP '2024-11-18')"
)
# Takes a new transaction id, and writes next to no WAL.
TAKE_AN_ID = "SELECT pg_current_xact_id()"
# Writes much WAL, and takes one transaction id.
WRITE_WAL = "CREATE TABLE ballast AS SELECT generate_series(1, 20000) AS number"
PRIVILEGED = (
    "pg_control_system()",
    "pg_control_checkpoint()",
    "pg_postmaster_start_time()",
    "pg_current_wal_lsn()",
    "pg_current_wal_insert_lsn()",
    "pg_current_wal_flush_lsn()",
    "pg_last_wal_replay_lsn()",
    "pg_walfile_name(pg_lsn)",
)
IDS = 1 << 32
# Three delays of the WAL writer are 0.6 s. This counts pauses: elapsed time depends on the machine.
LONGEST_PAUSE = 1.0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_for_clusters() as made:
        yield made


@pytest.fixture(scope="module")
def template(folder: Path, passwords: dict[str, str]) -> Cluster:
    """Returns a cluster to copy, with the wheel's PostgreSQL."""
    return _template(Cluster(folder / "template"), passwords)


@pytest.fixture(scope="module")
def old_template(folder: Path, passwords: dict[str, str], oldest_postgres: Path) -> Cluster:
    """Returns a cluster to copy, with the oldest installed PostgreSQL."""
    return _template(Cluster(folder / "old_template", programs=oldest_postgres), passwords)


def _template(cluster: Cluster, passwords: dict[str, str]) -> Cluster:
    with cluster:
        add_databases(cluster, passwords)
        cluster.stop()
    return cluster


@pytest.fixture
def place(folder: Path) -> Iterator[Path]:
    """Yields a folder for the clusters of one test, and deletes it."""
    made = folder / "test"
    made.mkdir(mode=0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def primary(request: pytest.FixtureRequest, place: Path) -> Iterator[Cluster]:
    """Yields the server of totesys, a copy of `template` or of the fixture in the parameter."""
    template: Cluster = request.getfixturevalue(getattr(request, "param", "template"))
    with template.copy_to(place / "primary") as server:
        yield server


@pytest.fixture
def standby(primary: Cluster, place: Path) -> Iterator[Cluster]:
    """Yields a standby of the primary."""
    with primary.standby(place / "standby") as server:
        yield server


@pytest.fixture
def other(place: Path, passwords: dict[str, str]) -> Iterator[Cluster]:
    """Yields another cluster with the same content of totesys, as after restoring a dump."""
    with Cluster(place / "other") as server:
        add_databases(server, passwords)
        yield server


@pytest.fixture
def start(empty_totesys: str) -> str:
    """Starts from an empty totesys: each test does its own first run."""
    return empty_totesys


@pytest.fixture
def small(stacked_pipelines: MakesPipelines, start: str, primary: Cluster) -> Iterator[Pipeline]:
    """Yields a pipeline whose totesys is on a server of its own."""
    with stacked_pipelines(start) as pipeline:
        pipeline.source = SOURCE
        pipeline.move_source(primary)
        yield pipeline


both_versions = pytest.mark.parametrize(
    "primary", ["template", "old_template"], indirect=True, ids=["the wheel's", "the oldest"]
)


@both_versions
@fault("F60", "totesys' server is restarted", HEAL)
def test_f60_restart_is_followed_by_one_full_read(scenario: Scenario, primary: Cluster) -> None:
    scenario.run()
    primary.restart()
    scenario.pipeline.move_source(primary)
    scenario.totesys(AMENDED.format(7))

    restarted = scenario.run()
    scenario.totesys(AMENDED.format(8))
    later = scenario.run()

    assert restarted.output["ingest"]["full_read"].keys() == source_tables().keys()
    assert restarted.output["load"]["inserted"] == {"fact_sales_order": 1}
    assert (later.output["ingest"]["full_read"], later.output["ingest"]["rows"]) == ({}, {"sales_order": 1})
    assert restarted.warnings == later.warnings == []


@fault("F60", "totesys is restored from a copy of its storage, and has written more since than it lost", HEAL)
def test_f60_restored_copy_that_is_ahead_is_read_in_full(scenario: Scenario, primary: Cluster, place: Path) -> None:
    unhappen(scenario, primary, place, before=[TAKE_AN_ID], since=[TAKE_AN_ID, TAKE_AN_ID, WRITE_WAL])

    restored = scenario.run()

    assert restored.output["ingest"]["full_read"].keys() == source_tables().keys()
    assert restored.output["load"]["inserted"] == {"fact_sales_order": 3}
    assert restored.warnings == []


@fault("F60", "totesys is restored from a copy of its storage, and has written less since than it lost", WARN)
def test_f60_restored_copy_that_is_behind_is_told(scenario: Scenario, primary: Cluster, place: Path) -> None:
    unhappen(scenario, primary, place, before=[WRITE_WAL], since=[TAKE_AN_ID] * 5)

    restored = scenario.run()

    assert restored.output["ingest"]["full_read"].keys() == source_tables().keys()
    assert restored.output["load"]["inserted"] == {"fact_sales_order": 3}
    assert len(restored.warnings) == len(source_tables())


@fault("F60", "a dump of totesys is restored on another server", WARN)
def test_f60_other_system_is_read_in_full_and_told(scenario: Scenario, primary: Cluster, other: Cluster) -> None:
    scenario.run()
    scenario.pipeline.move_source(other)
    scenario.totesys(AMENDED.format(7))
    for _ in range(100):
        scenario.totesys(TAKE_AN_ID)

    moved = scenario.run()

    assert other.system != primary.system
    assert moved.output["ingest"]["full_read"].keys() == source_tables().keys()
    assert moved.output["load"]["inserted"] == {"fact_sales_order": 1}
    assert len(moved.warnings) == len(source_tables())
    assert later_read(scenario) == {"sales_order": 1}


@both_versions
@fault("F60", "totesys is a standby, and is restarted", HEAL)
def test_f60_restart_of_a_standby_costs_no_full_read(scenario: Scenario, primary: Cluster, standby: Cluster) -> None:
    scenario.pipeline.move_source(standby)
    scenario.run()
    standby.restart()
    primary.execute(AMENDED.format(7), SOURCE)
    standby.catch_up(primary)
    scenario.pipeline.move_source(standby)

    restarted = scenario.run()

    assert restarted.output["ingest"]["full_read"] == {}
    assert restarted.output["ingest"]["rows"] == {"sales_order": 1}


@both_versions
@fault("F60", "totesys fails over to a standby that lacks the primary's last transactions", HEAL)
def test_f60_promoted_standby_is_read_in_full(scenario: Scenario, primary: Cluster, standby: Cluster) -> None:
    scenario.run()
    standby.lag()
    scenario.totesys(AMENDED.format(7))
    scenario.run()
    primary.crash()
    standby.promote()
    scenario.pipeline.move_source(standby)
    for statement in (AMENDED.format(8), TAKE_AN_ID, TAKE_AN_ID, WRITE_WAL):
        standby.execute(statement, SOURCE)

    promoted = scenario.run()

    assert promoted.output["ingest"]["full_read"].keys() == source_tables().keys()
    scenario.totesys(AMENDED.format(9))
    assert scenario.run().output["ingest"]["rows"] == {"sales_order": 1}


@fault("F60", "the reader may not ask for the server's position", HEAL)
@pytest.mark.parametrize("refused", [PRIVILEGED, *((one,) for one in PRIVILEGED)], ids=["all", *PRIVILEGED])
def test_f60_what_may_not_be_asked_for_fails_no_run(scenario: Scenario, refused: tuple[str, ...]) -> None:
    for function in refused:
        scenario.totesys(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    scenario.run()
    scenario.totesys(AMENDED.format(7))

    later = scenario.run()

    assert (later.output["ingest"]["full_read"], later.output["ingest"]["rows"]) == ({}, {"sales_order": 1})


@pytest.fixture(params=["WAL is written late", "and soon"])
def wal_is_late(request: pytest.FixtureRequest, primary: Cluster) -> bool:
    """Returns whether WAL reaches the disk only if a session waits for it; if so, stops the WAL writer."""
    late: bool = request.param == "WAL is written late"
    if late:
        primary.signal_process(signal.SIGSTOP, "walwriter")
    return late


@fault("F61", "a backend crashes, and the server assigns a rolled-back transaction's id again", HEAL)
def test_f61_id_given_out_again_hides_no_change(scenario: Scenario, primary: Cluster, wal_is_late: bool) -> None:
    scenario.run()
    scenario.totesys(AMENDED.format(7))
    given = roll_back(scenario, AMENDED.format(8))
    scenario.run()
    primary.crash_process("walwriter")
    ((again,),) = scenario.totesys(f"{AMENDED.format(9)} RETURNING CAST(CAST(xmin AS text) AS bigint)")
    assert (again == given) is wal_is_late
    scenario.totesys(WRITE_WAL)  # neither ids nor the end of the WAL show the crash

    crashed = scenario.run()

    assert crashed.output["load"]["inserted"] == {"fact_sales_order": 1}
    assert later_read(scenario) == {"sales_order": 1}


@fault("F61", "a snapshot saw a transaction that did not wait for the disk, and a crash loses it", HEAL)
@pytest.mark.parametrize("whole", [False, True], ids=["of a process", "of the server"])
def test_f61_lost_transaction_is_taken_back(
    scenario: Scenario, primary: Cluster, wal_is_late: bool, whole: bool
) -> None:
    scenario.run()
    with scenario.session() as hasty:
        hasty.cursor().execute("SET synchronous_commit = off")
        hasty.cursor().execute("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id = 7")
        hasty.commit()
    scenario.run()

    if whole:
        primary.crash()
        primary.start()
        scenario.pipeline.move_source(primary)
    else:
        primary.crash_process("walwriter")
    lost = scenario.totesys("SELECT count(*) FROM sales_order WHERE units_sold = 4242") == [[0]]
    assert lost is wal_is_late
    for statement in (AMENDED.format(8), TAKE_AN_ID, TAKE_AN_ID, WRITE_WAL):
        scenario.totesys(statement)

    scenario.run()


@fault("F61", "the server does not write the WAL's last bytes for a long time", HEAL)
@pytest.mark.parametrize("why", ["after a WAL switch", "an idle server"])
def test_f61_idle_server_slows_no_run_down(
    scenario: Scenario, primary: Cluster, flush_pauses: list[float], why: str
) -> None:
    scenario.run()
    change_and_run(scenario, 7)

    for key in (8, 9):
        flush_pauses.clear()
        scenario.totesys(AMENDED.format(key))
        if why == "after a WAL switch":
            scenario.totesys("SELECT pg_switch_wal()")
        scenario.run()
        assert sum(flush_pauses) < LONGEST_PAUSE

    assert later_read(scenario) == {"sales_order": 1}


@fault("F61", "the WAL writer hangs", HEAL)
def test_f61_wal_that_is_never_written_is_not_waited_for(
    scenario: Scenario, primary: Cluster, flush_pauses: list[float]
) -> None:
    scenario.run()
    primary.signal_process(signal.SIGSTOP, "walwriter")
    scenario.totesys(AMENDED.format(7))
    roll_back(scenario, AMENDED.format(8))

    flush_pauses.clear()
    scenario.run()
    primary.signal_process(signal.SIGCONT, "walwriter")

    # The next run would see a crash, so there is nothing to wait for.
    assert flush_pauses == []
    assert later_read(scenario) == {"sales_order": 1}


@both_versions
@fault("F62", "more than 2^31 transactions have run since most rows were written", HEAL)
def test_f62_rows_of_long_ago_are_not_read_again(scenario: Scenario, primary: Cluster) -> None:
    primary.give_ids_from(3_900_000_000)
    scenario.pipeline.move_source(primary)
    scenario.run()

    assert later_read(scenario) == {"sales_order": 1}


@fault("F62", "the 32 bits of the ids wrap around between two runs", HEAL)
def test_f62_wrap_around_hides_no_row(scenario: Scenario, primary: Cluster) -> None:
    primary.give_ids_from(IDS - 20)
    scenario.pipeline.move_source(primary)
    scenario.run()
    for key in range(1, 31):
        scenario.totesys(AMENDED.format(key))

    wrapped = scenario.run()

    ((first, last),) = scenario.totesys(
        "SELECT min(age(xmin)), max(age(xmin)) FROM sales_order WHERE sales_order_id < 31"
    )
    ((next_id,),) = scenario.totesys("SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)")
    assert IDS - 20 <= next_id - last < IDS < next_id - first
    assert wrapped.output["ingest"]["rows"] == {"sales_order": 30}
    assert later_read(scenario) == {"sales_order": 1}


@both_versions
@fault("F63", "one endpoint leads to the primary, to a standby that lags, and to the primary again", HOLD)
def test_f63_lagging_standby_holds_the_run(scenario: Scenario, primary: Cluster, standby: Cluster) -> None:
    scenario.run()
    standby.lag()
    scenario.totesys(AMENDED.format(7))
    scenario.totesys(NEW_DESIGN.format(90_001))
    scenario.run()

    scenario.pipeline.move_source(standby)
    lagging = scenario.run()
    scenario.pipeline.move_source(primary)

    assert (lagging.error, set(lagging.retried)) == ("SourceLagging", {"SourceLagging"})
    assert lagging.changed_nothing
    assert later_read(scenario) == {"sales_order": 1}


@fault("F63", "the standby catches up while the state machine waits", HEAL)
def test_f63_standby_that_catches_up_is_read(scenario: Scenario, primary: Cluster, standby: Cluster) -> None:
    scenario.run()
    standby.lag()
    scenario.totesys(AMENDED.format(7))
    scenario.run()
    primary.execute(AMENDED.format(8), SOURCE)
    scenario.pipeline.move_source(standby)

    with scenario.before("ingest", lambda: standby.catch_up(primary), attempt=2):
        healed = scenario.run()

    assert healed.retried == ["SourceLagging"]
    assert (healed.output["ingest"]["full_read"], healed.output["ingest"]["rows"]) == ({}, {"sales_order": 1})


@both_versions
@fault("F63", "one endpoint leads to the primary and to a standby that follows closely, by turns", HEAL)
def test_f63_standby_that_keeps_up_costs_no_full_read(scenario: Scenario, primary: Cluster, standby: Cluster) -> None:
    scenario.run()

    for key, server in enumerate([standby, standby, primary, standby, primary, primary], start=1):
        primary.execute(AMENDED.format(key), SOURCE)
        standby.catch_up(primary)
        scenario.pipeline.move_source(server)
        execution = scenario.run()
        assert (execution.output["ingest"]["full_read"], execution.output["ingest"]["rows"]) == ({}, {"sales_order": 1})


@fault("F63", "the primary begins a new WAL file and is then idle", HEAL)
def test_f63_page_header_that_a_standby_lacks_is_no_lag(scenario: Scenario, primary: Cluster, standby: Cluster) -> None:
    scenario.run()
    scenario.totesys(AMENDED.format(7))
    scenario.totesys("SELECT pg_switch_wal()")
    scenario.run()

    # The WAL ends after a page's header, which is only written with a record after it.
    standby.catch_up(primary)
    scenario.pipeline.move_source(standby)
    idle = scenario.run()

    assert (idle.retried, idle.path[-1]) == ([], "NothingNew")
    scenario.pipeline.move_source(primary)
    assert later_read(scenario) == {"sales_order": 1}


def unhappen(scenario: Scenario, primary: Cluster, place: Path, before: list[str], since: list[str]) -> None:
    """Does two runs with a cold copy of the server between them, restores totesys from the copy, and resumes there.

    Args:
        before: statements between the copy and the second run, which the restore undoes.
        since: statements after the restore. They take more transactions than the undone ones did, so the ids look
            right.
    """
    scenario.run()
    primary.stop()
    copy = primary.copy_to(place / "copy")
    primary.start()
    scenario.pipeline.move_source(primary)
    scenario.totesys(AMENDED.format(7))
    scenario.totesys(AMENDED.format(8))
    for statement in before:
        scenario.totesys(statement)
    scenario.run()
    stood = wal_position(primary)
    primary.restore(copy)
    scenario.pipeline.move_source(primary)
    scenario.totesys(AMENDED.format(9))
    for statement in since:
        scenario.totesys(statement)
    assert (wal_position(primary) > stood) is (WRITE_WAL in since)


def wal_position(server: Cluster) -> int:
    ((position,),) = server.execute("SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS bigint)")
    return int(position)


def roll_back(scenario: Scenario, statement: str) -> int:
    """Executes a statement and rolls it back.

    Returns:
        the 32 bits of its transaction's id.
    """
    with scenario.session() as undecided:
        cursor = undecided.cursor()
        cursor.execute(statement)
        cursor.execute("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
        ((given,),) = cursor.fetchall()
        undecided.rollback()
    return int(given)


def later_read(scenario: Scenario) -> dict[str, int]:
    """Amends an order and returns how many rows of each table the next run reads."""
    scenario.totesys(AMENDED.format(10))
    rows: dict[str, int] = scenario.run().output["ingest"]["rows"]
    return rows


def change_and_run(scenario: Scenario, key: int) -> None:
    scenario.totesys(AMENDED.format(key))
    scenario.run()


@pytest.fixture
def flush_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns the seconds of each pause in which Ingest waits for the WAL."""
    pauses: list[float] = []

    def sleep(duration: float) -> None:
        pauses.append(duration)
        time.sleep(duration)

    monkeypatch.setattr("totes.source.flush.time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    return pauses
