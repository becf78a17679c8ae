"""If a run dies at any moment, the next one repairs that: the content is the same as if nothing had happened."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import MakesPipelines
from tests.support.injection import Killed, at_statement, dying_at_put, dying_at_statement
from tests.support.loaded import on
from tests.support.pipeline import Pipeline, content, physical_rows
from totes.errors import BatchContended, LogBroken, WarehouseBusy, WarehouseUnreachable
from totes.load import LoadResult
from totes.postgres.connection import WAREHOUSE, connected
from totes.warehouse.warehouse import Warehouse

Content = dict[str, list[list[Any]]]


def change(pipeline: Pipeline) -> None:
    """Makes changes of each kind: an amendment, a new row, a renamed parent, a deletion."""
    pipeline.totesys("UPDATE sales_order SET units_sold = 4242 WHERE sales_order_id < 20")
    pipeline.totesys("UPDATE department SET department_name = 'Renamed' WHERE department_id = 2")
    pipeline.totesys("DELETE FROM sales_order WHERE sales_order_id = 30")
    pipeline.totesys("UPDATE payment SET paid = true WHERE payment_id < 40")


@pytest.fixture(scope="module")
def undisturbed(pipelines: MakesPipelines, seeded_totesys: str) -> Content:
    with pipelines(seeded_totesys) as pipeline:
        pipeline.run()
        change(pipeline)
        pipeline.run()
        return content(pipeline)


def test_dying_after_landing_is_made_good(seeded: Pipeline, undisturbed: Content) -> None:
    change(seeded)
    seeded.ingest()
    landed, processed, loaded = seeded.run()
    assert (landed.batch, landed.new_data, processed.first, loaded.first) == (None, True, 2, 2)
    assert content(seeded) == undisturbed


def test_dying_after_processing_is_made_good(seeded: Pipeline, undisturbed: Content) -> None:
    change(seeded)
    seeded.ingest()
    seeded.transform()
    landed, processed, loaded = seeded.run()
    assert (landed.new_data, processed.batches, loaded.first) == (False, 0, 2)
    assert content(seeded) == undisturbed


@pytest.mark.parametrize("stage", ["ingest", "transform"])
def test_dying_at_any_put_is_made_good(seeded: Pipeline, undisturbed: Content, stage: str) -> None:
    change(seeded)
    if stage == "transform":
        seeded.ingest()
    deaths = sweep(dying_at_put, getattr(seeded, stage))
    seeded.run()
    assert content(seeded) == undisturbed
    # The batch's objects, its manifest and the hint.
    assert deaths > 5


def test_dying_at_any_statement_of_the_load_is_made_good(seeded: Pipeline, undisturbed: Content) -> None:
    before = physical_rows(seeded)
    change(seeded)
    seeded.ingest()
    seeded.transform()

    def load_nothing() -> LoadResult:
        assert physical_rows(seeded) == before, "half a batch was loaded"
        return seeded.load()

    assert sweep(dying_at_statement, load_nothing) > 20
    assert content(seeded) == undisturbed


@on("seeded_totesys")
def test_dying_while_the_warehouse_is_created_is_made_good(seeded: Pipeline) -> None:
    seeded.ingest()
    seeded.transform()
    for number in (1, 5, 20, 40, 60):
        with dying_at_statement(number) as countdown, suppress(Killed):
            seeded.load()
        assert countdown.left == 0, "it came through alive"
    seeded.run()
    assert seeded.star("SELECT count(*) FROM current_sales_order") == seeded.totesys("SELECT count(*) FROM sales_order")


def test_load_of_a_loaded_batch_writes_nothing(seeded: Pipeline) -> None:
    change(seeded)
    seeded.run()
    rows = physical_rows(seeded)
    assert seeded.load().batches == 0
    assert physical_rows(seeded) == rows


@on("seeded_totesys")
def test_killed_backend_is_a_transient_error(seeded: Pipeline) -> None:
    seeded.ingest()
    seeded.transform()

    def kill() -> None:
        seeded.postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'totes-load'"
        )

    with at_statement("batch (batch_id, snapshot_at", kill), pytest.raises(WarehouseUnreachable):
        seeded.load()
    assert seeded.load().batches == 1


def test_replay_into_an_empty_warehouse_gives_the_same(seeded: Pipeline, undisturbed: Content) -> None:
    change(seeded)
    seeded.run()
    objects = seeded.objects()
    record_ids = "SELECT array_agg(sales_record_id ORDER BY sales_record_id) FROM fact_sales_order"
    before = seeded.star(record_ids)
    seeded.drop_warehouse()
    _, _, loaded = seeded.run()
    assert (loaded.first, loaded.last) == (1, 2)
    assert seeded.objects() == objects
    assert content(seeded) == undisturbed
    assert seeded.star(record_ids) == before


def test_same_batch_makes_the_same_bytes(seeded: Pipeline) -> None:
    objects = {key for key in seeded.objects(seeded.processed_bucket) if "/log/" not in key}
    for page in seeded.s3.get_paginator("list_objects_v2").paginate(Bucket=seeded.processed_bucket):
        for item in page["Contents"]:
            seeded.s3.delete_object(Bucket=seeded.processed_bucket, Key=item["Key"])
    seeded.transform()
    assert {key for key in seeded.objects(seeded.processed_bucket) if "/log/" not in key} == objects
    # The warehouse recognises the batch as the one that it has.
    assert seeded.load().batches == 0


def test_two_writers_of_one_batch_do_not_both_commit(seeded: Pipeline) -> None:
    change(seeded)
    log = seeded.landed()
    manifest = log.read(1)
    seeded.ingest()
    with pytest.raises(BatchContended, match=r"Batch 2 of .* was committed by another execution"):
        log.commit(type(manifest)(**vars(manifest) | {"batch": 2}))


def test_older_snapshot_never_becomes_the_later_batch(seeded: Pipeline) -> None:
    seeded.totesys("UPDATE design SET file_location = '/srv' WHERE design_id = 1")
    overtaken = []

    def overtake() -> None:
        # By now this one has its snapshot; another execution lands a change that the snapshot does not have.
        change(seeded)
        overtaken.append(seeded.ingest().batch)

    with at_statement("pg_control_system", overtake), pytest.raises(BatchContended):
        seeded.ingest()
    assert overtaken == [2]
    seeded.run()
    assert seeded.star("SELECT DISTINCT units_sold FROM current_sales_order WHERE sales_order_id < 20") == [[4242]]
    assert seeded.star("SELECT file_location FROM dim_design WHERE design_id = 1") == [["/srv"]]


def test_several_batches_behind_are_all_made_good(seeded: Pipeline) -> None:
    for units in (1, 2, 3):
        seeded.totesys("UPDATE sales_order SET units_sold = %s WHERE sales_order_id = 7", units)
        seeded.ingest()
    _, processed, loaded = seeded.run()
    assert (processed.first, processed.last, loaded.first, loaded.last) == (2, 4, 2, 4)
    versions = seeded.star("SELECT batch_id, units_sold FROM sales_order_history WHERE sales_order_id = 7 ORDER BY 1")
    assert versions[1:] == [[2, 1], [3, 2], [4, 3]]


def test_second_load_waits_for_the_first_and_finds_nothing_left(seeded: Pipeline) -> None:
    change(seeded)
    seeded.ingest()
    seeded.transform()
    overtaken = []

    # Another execution loads the batch after this one has read the log and before it has the lock.
    with at_statement("pg_advisory_xact_lock", lambda: overtaken.append(seeded.load().batches)):
        assert seeded.load().batches == 0
    assert overtaken == [1]


def test_batch_is_not_loaded_before_the_one_before_it(seeded: Pipeline) -> None:
    change(seeded)
    seeded.ingest()
    seeded.transform()
    # The warehouse is restored to an earlier state while this load is about to continue from the later one.
    with (
        at_statement("pg_advisory_xact_lock", lambda: seeded.star("TRUNCATE etl.batch CASCADE")),
        pytest.raises(LogBroken, match="loaded up to batch 0, and batch 2 is about to follow"),
    ):
        seeded.load()
    assert seeded.star("SELECT count(*) FROM etl.batch") == [[0]]


def test_load_that_holds_the_lock_too_long_makes_the_other_one_give_up(
    seeded: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(seeded)
    seeded.ingest()
    seeded.transform()
    impatient = replace(WAREHOUSE, session={**WAREHOUSE.session, "lock_timeout": "200ms"})
    monkeypatch.setattr("totes.load.WAREHOUSE", impatient)
    with connected(WAREHOUSE, seeded.credentials(seeded.warehouse), "totes-test") as other:
        Warehouse(other).lock()
        with pytest.raises(WarehouseBusy, match=r"lock timeout; .*held by pid \d+ \(totes_loader, totes-test\)"):
            seeded.load()


def test_warehouse_of_another_lake_is_refused(seeded: Pipeline) -> None:
    seeded.star("UPDATE etl.batch SET snapshot_at = snapshot_at - interval '1 day'")
    with pytest.raises(LogBroken, match="They do not belong together"):
        seeded.load()


def sweep(dying: Callable[..., Any], work: Callable[[], object]) -> int:
    """Repeats the work, dying one event later each time, until it succeeds; returns the number of deaths."""
    number = 1
    while True:
        with dying(number, may_miss=True) as countdown, suppress(Killed):
            work()
        if countdown.left > 0:
            return number - 1
        number += 1
