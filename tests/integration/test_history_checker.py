"""The history checker reports every defect of lake or warehouse, and reports nothing about a healthy pipeline."""

import contextlib
from collections.abc import Iterator

import pytest
from pg8000.native import identifier

from tests.conftest import MakesPipelines
from tests.support.model import HistoryChecker
from tests.support.oracle import Picture, admitted
from tests.support.pipeline import Pipeline


@pytest.fixture(scope="module")
def shared(pipelines: MakesPipelines, small_totesys: str) -> Iterator[tuple[Pipeline, HistoryChecker]]:
    """Yields three batches with every kind of change. A test that changes them must restore them."""
    with pipelines(small_totesys) as pipeline, HistoryChecker(pipeline) as history_checker:
        pipeline.run()
        for change in CHANGES:
            pipeline.totesys(change)
        pipeline.run()
        pipeline.totesys("UPDATE payment SET paid = NOT paid WHERE payment_id < 20")
        pipeline.run()
        yield pipeline, history_checker


CHANGES = (
    "UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id < 20",
    "UPDATE department SET department_name = 'Renamed' WHERE department_id = 2",
    "UPDATE currency SET currency_code = 'CHF' WHERE currency_id = 3",
    "DELETE FROM sales_order WHERE sales_order_id = 30",
    "UPDATE payment SET paid = NOT paid WHERE payment_id < 40",
)
TAMPERING = {
    "UPDATE fact_sales_order SET units_sold = 1 WHERE sales_order_id = 77": "I1 sales_order_history lacks (77, 1, 1",
    "DELETE FROM fact_payment WHERE payment_id = 5 AND payment_record_id > 317": "I1 payment_history lacks (5, 2, 2",
    "UPDATE dim_staff SET department_name = 'Stale' WHERE staff_id = 7": "I1 dim_staff lacks (7",
    "UPDATE dim_currency SET currency_name = 'Euro' WHERE currency_id = 3": "I1 dim_currency lacks (3, 'CHF'",
    "UPDATE dim_date SET quarter = 2 WHERE date_id = '2023-03-31'": "I1 dim_date lacks (datetime.date(2023, 3, 31)",
    "DELETE FROM etl.tombstone WHERE table_name = 'fact_sales_order'": "I1 current_sales_order has (30",
    "UPDATE etl.tombstone SET batch_id = 3": "I1 etl.tombstone lacks ('fact_sales_order', 30, 2, None)",
    "UPDATE fact_payment SET paid = true WHERE payment_id = 5": "I2 payment 5: versions",
    "UPDATE fact_purchase_order SET item_unit_price = 1": "I3 current_purchase_order: totesys",
    "UPDATE etl.batch_table SET rows_staged = 0 WHERE table_name = 'dim_staff'": "I3 etl.batch_table lacks (1,",
    "UPDATE etl.batch SET snapshot_at = now() WHERE batch_id = 2": "I4 a batch has not the same snapshot",
    "UPDATE etl.batch SET batch_id = 4 WHERE batch_id = 3": "I4 the log of what is loaded has a gap: [1, 2, 4]",
}


@pytest.fixture
def watched(shared: tuple[Pipeline, HistoryChecker], monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """Yields the pipeline with a copy of its warehouse for tampering, without constraints."""
    pipeline, _ = shared
    copy, execute = identifier(f"{pipeline.warehouse}_copy"), pipeline.postgres.execute
    execute(f"CREATE DATABASE {copy} TEMPLATE {identifier(pipeline.warehouse)}")
    execute(f"ALTER DATABASE {copy} SET session_replication_role = replica")
    monkeypatch.setattr(pipeline, "warehouse", f"{pipeline.warehouse}_copy")
    yield pipeline
    execute(f"DROP DATABASE {copy}")


@pytest.fixture
def history_checker(shared: tuple[Pipeline, HistoryChecker], watched: Pipeline) -> HistoryChecker:
    """Returns a history checker that has seen the same snapshots but has not yet read the logs."""
    made = HistoryChecker(watched)
    made.pictures |= shared[1].pictures
    return made


def test_nothing_is_said_of_a_pipeline_that_is_well(history_checker: HistoryChecker) -> None:
    assert history_checker.violations() == []
    assert history_checker.unsettled() == []


@pytest.mark.parametrize(("statement", "violation"), TAMPERING.items(), ids=TAMPERING.values())
def test_tampering_with_the_warehouse_is_named(
    watched: Pipeline, history_checker: HistoryChecker, statement: str, violation: str
) -> None:
    watched.star(statement)
    assert [said for said in history_checker.violations() if said.startswith(violation)], history_checker.violations()


def test_lost_object_is_named(watched: Pipeline, history_checker: HistoryChecker) -> None:
    stored = watched.processed().read(2).tables["fact_payment"]["data"]
    with difference(watched, watched.processed_bucket, stored.key):
        assert f"I3 batch 2: {stored.key} is named by the manifest and not there" in history_checker.violations()


def test_other_content_of_an_object_is_named(watched: Pipeline, history_checker: HistoryChecker) -> None:
    landed = watched.landed()
    first, second = (landed.read(batch).tables["sales_order"]["data"] for batch in (1, 2))
    with difference(watched, watched.landing_bucket, second.key):
        bucket = watched.landing_bucket
        watched.s3.copy_object(Bucket=bucket, Key=second.key, CopySource=f"{bucket}/{first.key}")
        (violation, *others) = history_checker.violations()
    assert violation == f"I3 batch 2: {second.key} has 224 rows, and is not what its manifest says"
    assert others[0].startswith("I3 batch 2, sales_order: totesys counts and adds up to [223, ")


def test_gap_in_a_log_is_named(watched: Pipeline, history_checker: HistoryChecker) -> None:
    with difference(watched, watched.landing_bucket, "log/00000002.json"):
        assert "I4 the log of what is landed has a gap: [1, 3]" in history_checker.violations()


def test_log_that_goes_back_is_named(watched: Pipeline, history_checker: HistoryChecker) -> None:
    assert history_checker.violations() == []
    watched.star("DELETE FROM etl.batch WHERE batch_id = 3")
    assert history_checker.violations() == [
        "I4 the log of what is loaded went back, or says something else, at batches [3]"
    ]


def test_warehouse_that_is_ahead_is_named(watched: Pipeline, history_checker: HistoryChecker) -> None:
    with difference(watched, watched.processed_bucket, "log/00000003.json"):
        assert "I4 landed 3, processed 2, loaded 3" in history_checker.violations()


def test_change_that_no_batch_saw_is_unsettled(watched: Pipeline, history_checker: HistoryChecker) -> None:
    watched.totesys("UPDATE staff SET email_address = email_address || '?' WHERE staff_id = 3")
    try:
        assert history_checker.unsettled() == ["I1 staff 3 has changed in totesys and no batch says so"]
        assert history_checker.violations() == []
    finally:
        watched.totesys("UPDATE staff SET email_address = rtrim(email_address, '?') WHERE staff_id = 3")


def test_run_that_writes_is_not_quiet(watched: Pipeline, history_checker: HistoryChecker) -> None:
    assert history_checker.quiet(lambda: None) == []
    (violation,) = history_checker.quiet(lambda: watched.star("UPDATE dim_staff SET location = location"))[:1]
    assert violation.startswith("I6 a run with nothing new wrote public.dim_staff ")


def test_row_set_aside_stays_as_it_was_until_it_changes(history_checker: HistoryChecker) -> None:
    """Payments 1 to 19 changed in batch 2 and in batch 3, 20 to 39 in batch 2 only."""
    seen = [history_checker.pictures[moment] for moment in sorted(history_checker.pictures)]
    taken_up = admitted(seen, {2: {("payment", 7), ("payment", 33)}})
    for key, from_batches in ((7, (1, 1, 3)), (33, (1, 1, 1)), (8, (1, 2, 3))):
        rows = [picture.tables["payment"][key] for picture in taken_up]
        assert rows == [seen[batch - 1].tables["payment"][key] for batch in from_batches]


def test_new_row_set_aside_is_not_there(history_checker: HistoryChecker) -> None:
    seen = [history_checker.pictures[moment] for moment in sorted(history_checker.pictures)]
    taken_up = admitted(seen, {1: {("payment", 33)}})
    assert [33 in picture.tables["payment"] for picture in taken_up] == [False, True, True]


GONE = [pytest.param(101, {"payment": 101}, id="101"), pytest.param(100, {}, id="100")]


@pytest.mark.parametrize(("gone", "counts"), GONE)
def test_mass_deletion_that_nobody_has_confirmed_is_named(
    history_checker: HistoryChecker, gone: int, counts: dict[str, int]
) -> None:
    *_, seen = (history_checker.pictures[moment] for moment in sorted(history_checker.pictures))
    payments = dict(sorted(seen.tables["payment"].items())[gone:])
    emptied = Picture(seen.taken_at, {**seen.tables, "payment": payments})
    history_checker.pictures[seen.taken_at] = history_checker.held = emptied

    named = [
        f"I1 batch 3 has lost {rows} rows of {table}, which nobody has confirmed" for table, rows in counts.items()
    ]
    assert history_checker.unconfirmed([]) == history_checker.unconfirmed([{"payment": 100}, {"design": 101}]) == named
    assert history_checker.unconfirmed([{"payment": 101}]) == []
    assert history_checker.held_rightly({"payment": 101}) is bool(counts)
    assert not history_checker.held_rightly({"payment": 99})


@contextlib.contextmanager
def difference(pipeline: Pipeline, bucket: str, key: str) -> Iterator[None]:
    body = pipeline.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    pipeline.s3.delete_object(Bucket=bucket, Key=key)
    try:
        yield
    finally:
        pipeline.s3.put_object(Bucket=bucket, Key=key, Body=body)
