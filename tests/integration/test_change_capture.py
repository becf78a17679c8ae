"""New rows in totesys are found, whatever last_updated says and whenever they were committed."""

import json

import pytest

from benchmarks.wire import counted
from local.postgres.databases import READER
from tests.support.back_office import FOUNDATION
from tests.support.cold import forget_logs
from tests.support.loaded import on
from tests.support.pipeline import Pipeline, content
from tests.support.s3_wire import traced
from totes.errors import AccessDenied, ContractViolation, LogBroken, SourceBusy
from totes.lake.batch_log import HINT
from totes.postgres.position import SourcePosition

STAMP = "TIMESTAMP '2024-11-18 09:30:00.123'"
NEW_DESIGN = (
    "INSERT INTO design (design_id, created_at, design_name, file_location, file_name, last_updated) "
    f"VALUES (%s, {STAMP}, 'Granite', '/srv', 'granite.json', {STAMP})"
)


@on("seeded_totesys")
def test_late_commit_is_in_the_next_run(seeded: Pipeline) -> None:
    with seeded.connection(seeded.source) as writer:
        writer.cursor().execute(NEW_DESIGN, (90_001,))
        # Another writer begins later, commits first, and the run in between sees its row.
        seeded.totesys(NEW_DESIGN, 90_002)
        seeded.run()
        assert designs(seeded, 90_000) == [90_002]
        writer.commit()
    landed, _, _ = seeded.run()
    assert landed.rows == {"design": 2}
    assert designs(seeded, 90_000) == [90_001, 90_002]


@on("seeded_totesys")
def test_savepoints_of_a_late_commit_are_in_the_next_run(seeded: Pipeline) -> None:
    with seeded.connection(seeded.source) as writer:
        cursor = writer.cursor()
        cursor.execute(NEW_DESIGN, (90_001,))
        cursor.execute("SAVEPOINT one")
        cursor.execute(NEW_DESIGN, (90_002,))
        cursor.execute("RELEASE SAVEPOINT one")
        cursor.execute("SAVEPOINT two")
        cursor.execute(NEW_DESIGN, (90_003,))
        cursor.execute("ROLLBACK TO SAVEPOINT two")
        seeded.run()
        writer.commit()
    seeded.run()
    assert designs(seeded, 90_000) == [90_001, 90_002]


@on("seeded_totesys")
def test_rows_that_come_again_are_no_news(seeded: Pipeline) -> None:
    with seeded.connection(seeded.source) as idler:
        idler.cursor().execute("SELECT pg_current_xact_id()")
        seeded.totesys(NEW_DESIGN, 90_001)
        seeded.run()
        seeded.totesys(NEW_DESIGN, 90_002)
        landed, _, loaded = seeded.run()
        # The idle transaction holds the fence back, so the first row is read again with the second.
        assert landed.rows == {"design": 2}
        assert loaded.inserted == {"dim_design": 1}
        before = seeded.objects()
        assert seeded.ingest().batch is None
        assert seeded.objects() == before
        # But another change to the same table is new.
        seeded.totesys("UPDATE design SET file_location = '/srv/2' WHERE design_id = 90002")
        _, _, loaded = seeded.run()
        assert loaded.updated == {"dim_design": 1}


def test_rows_that_come_again_beside_empty_tables_are_no_news(pipeline: Pipeline) -> None:
    with pipeline.connection(pipeline.source) as idler:
        idler.cursor().execute("SELECT pg_current_xact_id()")
        for statement in FOUNDATION:
            pipeline.totesys(statement)
        pipeline.run()
        before = pipeline.objects()
        assert pipeline.ingest().full_read == {}
        assert pipeline.objects() == before


def test_silent_amendment_adds_a_version(seeded: Pipeline) -> None:
    seeded.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 77")
    _, _, loaded = seeded.run()
    assert loaded.inserted == {"fact_sales_order": 1}
    rows = seeded.star(
        "SELECT version, last_updated_date, last_updated_time, units_sold, valid_to IS NULL "
        "FROM sales_order_history WHERE sales_order_id = 77 ORDER BY version"
    )
    first, second = rows
    assert first[1:3] == second[1:3]
    assert (first[0], second[0], second[3] - first[3]) == (1, 2, 1)
    assert (first[4], second[4]) == (False, True)


def test_update_that_changes_nothing_adds_no_version(seeded: Pipeline) -> None:
    seeded.totesys("UPDATE sales_order SET units_sold = units_sold WHERE sales_order_id < 100")
    _, _, loaded = seeded.run()
    assert (loaded.batches, loaded.inserted, loaded.updated) == (1, {}, {})


@pytest.mark.parametrize(
    ("statement", "dimension", "column"),
    [
        ("UPDATE department SET department_name = 'Renamed' WHERE department_id = 3", "dim_staff", "department_name"),
        (
            "UPDATE address SET city = 'Renamed' WHERE address_id IN (SELECT legal_address_id FROM counterparty)",
            "dim_counterparty",
            "counterparty_legal_city",
        ),
    ],
    ids=["department", "address"],
)
def test_change_of_a_parent_alone_refreshes_the_dimension(
    seeded: Pipeline, statement: str, dimension: str, column: str
) -> None:
    seeded.totesys(statement)
    _, _, loaded = seeded.run()
    renamed = seeded.star(f"SELECT count(*) FROM {dimension} WHERE {column} = 'Renamed'")[0][0]
    assert renamed == loaded.updated[dimension] > 0


def test_deleted_order_leaves_a_tombstone(seeded: Pipeline) -> None:
    before = seeded.star("SELECT * FROM fact_sales_order WHERE sales_order_id = 55")
    seeded.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")
    landed, _, loaded = seeded.run()
    assert landed.deleted == {"sales_order": 1}
    # ON DELETE SET NULL changed its transaction, which did not move last_updated, either.
    assert landed.rows == {"transaction": 1}
    assert (loaded.tombstones, loaded.updated) == ({"fact_sales_order": 1}, {"dim_transaction": 1})
    assert not seeded.star("SELECT 1 FROM dim_transaction WHERE sales_order_id = 55")
    assert not seeded.star("SELECT 1 FROM current_sales_order WHERE sales_order_id = 55")
    assert seeded.star("SELECT * FROM fact_sales_order WHERE sales_order_id = 55") == before
    assert seeded.star("SELECT deleted, valid_to > valid_from FROM sales_order_history WHERE sales_order_id = 55") == [
        [True, True]
    ]
    assert len(seeded.star("SELECT 1 FROM sales_order_as_of(1) WHERE sales_order_id = 55")) == 1
    assert not seeded.star("SELECT 1 FROM sales_order_as_of(2) WHERE sales_order_id = 55")


def test_order_that_comes_back_after_its_deletion_is_current(seeded: Pipeline) -> None:
    row = seeded.totesys("SELECT * FROM sales_order WHERE sales_order_id = 55")[0]
    seeded.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")
    seeded.run()
    seeded.totesys(f"INSERT INTO sales_order VALUES ({', '.join(['%s'] * len(row))})", *row)
    seeded.run()
    # The content is the same as before: without the tombstone there would be no difference.
    versions = seeded.star(
        "SELECT version, deleted FROM sales_order_history WHERE sales_order_id = 55 ORDER BY version"
    )
    assert versions == [[1, True], [2, False]]
    assert len(seeded.star("SELECT 1 FROM current_sales_order WHERE sales_order_id = 55")) == 1
    # It comes back once: its tombstone belongs to the version before.
    assert seeded.run("sales_order")[2].inserted == {}


@on("seeded_totesys")
def test_delete_without_another_change_is_a_batch(seeded: Pipeline) -> None:
    seeded.totesys(NEW_DESIGN, 90_001)
    seeded.run()
    seeded.totesys("DELETE FROM design WHERE design_id = 90001")
    landed, _, loaded = seeded.run()
    assert (landed.batch, landed.rows, landed.deleted) == (2, {}, {"design": 1})
    assert loaded.tombstones == {"dim_design": 1}


def test_delete_and_insert_in_one_window_are_both_seen(seeded: Pipeline) -> None:
    seeded.totesys("DELETE FROM sales_order WHERE sales_order_id = 55")
    seeded.totesys(
        "INSERT INTO sales_order SELECT 80001, created_at, last_updated, design_id, staff_id, counterparty_id, "
        "units_sold, unit_price, currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id "
        "FROM sales_order WHERE sales_order_id = 56"
    )
    landed, _, _ = seeded.run()
    assert (landed.rows["sales_order"], landed.deleted) == (1, {"sales_order": 1})


def test_restored_source_is_read_in_full_once(seeded: Pipeline) -> None:
    log = seeded.landed()
    position = log.read(1).source
    ahead = SourcePosition(**vars(position) | {"xmin": position.xmax + 10**6, "xmax": position.xmax + 10**6})
    rewrite_position(seeded, ahead)
    seeded.totesys(NEW_DESIGN, 90_001)
    landed, _, loaded = seeded.run()
    assert set(landed.full_read.values()) == {"transaction ids of totesys went backwards"}
    assert loaded.inserted == {"dim_design": 1}
    assert seeded.run()[0].batch is None


def test_source_moved_to_another_cluster_is_read_in_full_once(seeded: Pipeline) -> None:
    position = seeded.landed().read(1).source
    rewrite_position(seeded, SourcePosition(**vars(position) | {"system": "7"}))
    landed, _, loaded = seeded.run()
    assert set(landed.full_read.values()) == {"totesys was restored or moved"}
    assert (loaded.batches, loaded.inserted) == (1, {})


def test_rows_below_the_fence_are_found_by_counting(seeded: Pipeline) -> None:
    """The source's ids went back and then caught up: only the number of rows shows that."""
    position = seeded.landed().read(1).source
    seeded.totesys(NEW_DESIGN, 90_001)
    behind = seeded.totesys("SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)")[0][0]
    rewrite_position(seeded, SourcePosition(**vars(position) | {"xmin": behind, "xmax": behind, "fence": behind}))
    landed, _, loaded = seeded.run()
    assert landed.full_read == {"design": "it holds rows that the fence did not show"}
    assert loaded.inserted == {"dim_design": 1}


def test_rows_below_the_fence_are_found_beside_deletions(seeded: Pipeline) -> None:
    """More rows were deleted than added, so their number alone looks like deletions."""
    for number in (90_001, 90_002):
        seeded.totesys(NEW_DESIGN, number)
    seeded.run()
    position = seeded.landed().read(2).source
    seeded.totesys("DELETE FROM design WHERE design_id IN (90001, 90002)")
    seeded.totesys(NEW_DESIGN, 90_003)
    behind = seeded.totesys("SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)")[0][0]
    rewrite_position(seeded, SourcePosition(**vars(position) | {"xmin": behind, "xmax": behind, "fence": behind}))
    landed, _, loaded = seeded.run()
    assert landed.full_read == {"design": "it holds rows that the fence did not show"}
    assert (landed.deleted, loaded.inserted) == ({"design": 2}, {"dim_design": 1})


def test_full_read_on_request_changes_nothing(seeded: Pipeline) -> None:
    before = content(seeded)
    landed, _, loaded = seeded.run("department", "sales_order")
    # The department's staff are joined with it, so they are landed, too.
    assert landed.rows.keys() == {"department", "staff", "sales_order"}
    assert (loaded.inserted, loaded.updated) == ({}, {})
    assert content(seeded) == before


def test_full_read_on_request_is_news_however_often(seeded: Pipeline) -> None:
    """A person asks for a full read because the warehouse was damaged, and it may be damaged again."""
    before = content(seeded)
    for _ in range(2):
        seeded.star("UPDATE dim_staff SET first_name = 'Nobody' WHERE staff_id = 7")
        assert seeded.run("staff")[2].updated == {"dim_staff": 1}
    assert content(seeded)["dim_staff"] == before["dim_staff"]


def test_first_run_of_an_empty_source_makes_an_empty_warehouse(pipeline: Pipeline) -> None:
    landed, processed, loaded = pipeline.run()
    assert (landed.batch, processed.batches, loaded.batches) == (1, 1, 1)
    assert not landed.rows
    assert pipeline.star("SELECT count(*) FROM current_sales_order") == [[0]]
    assert pipeline.run()[0].batch is None


@pytest.mark.parametrize("hint", [None, b"rubbish", b'{"batch": 1}', b'{"batch": 99}', b"[]"], ids=str)
def test_log_is_found_whatever_its_hint_says(seeded: Pipeline, hint: bytes | None) -> None:
    seeded.totesys(NEW_DESIGN, 90_001)
    seeded.run()
    for bucket in (seeded.landing_bucket, seeded.processed_bucket):
        if hint is None:
            seeded.s3.delete_object(Bucket=bucket, Key=HINT)
        else:
            seeded.s3.put_object(Bucket=bucket, Key=HINT, Body=hint)
    forget_logs()
    landed, _, loaded = seeded.run()
    assert (landed.batch, landed.landed_through, landed.processed_through, loaded.loaded_through) == (None, 2, 2, 2)


@on("seeded_totesys")
def test_gap_in_a_log_is_refused(seeded: Pipeline) -> None:
    for number in range(3):
        seeded.totesys(NEW_DESIGN, 90_001 + number)
        seeded.run()
    seeded.s3.delete_object(Bucket=seeded.landing_bucket, Key="log/00000002.json")
    seeded.s3.delete_object(Bucket=seeded.landing_bucket, Key=HINT)
    forget_logs()
    with pytest.raises(LogBroken, match=r"log/00000002\.json is missing, though batch 3 is there"):
        seeded.ingest()


def test_undeclared_column_is_reported_and_carried_on_without(seeded: Pipeline) -> None:
    seeded.totesys("ALTER TABLE design ADD COLUMN colour text")
    seeded.totesys(NEW_DESIGN, 90_001)
    landed, _, _ = seeded.run()
    assert landed.undeclared == {"design": ["colour"]}
    assert designs(seeded, 90_000) == [90_001]


def test_newly_declared_column_is_read_in_full_once(seeded: Pipeline) -> None:
    manifest = seeded.landed().read(1)
    known = {**manifest.columns, "design": ["design_id", "created_at", "design_name", "file_name", "last_updated"]}
    rewrite_last(seeded, columns=known)
    seeded.totesys(NEW_DESIGN, 90_001)
    landed, _, loaded = seeded.run()
    assert landed.full_read == {"design": "newly declared: file_location"}
    assert landed.rows.keys() == {"design"}
    assert loaded.inserted == {"dim_design": 1}
    assert seeded.run()[0].full_read == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "ALTER TABLE sales_order RENAME COLUMN units_sold TO units",
            r"column sales_order\.units_sold is not there",
        ),
        (
            "ALTER TABLE payment ALTER COLUMN payment_amount TYPE text",
            r"column payment\.payment_amount has type text, expected numeric\(10,2\)",
        ),
        ("ALTER TABLE department RENAME TO departments", "table department is not there"),
    ],
    ids=["renamed column", "other type", "renamed table"],
)
def test_drift_is_named_before_anything_is_written(seeded: Pipeline, change: str, message: str) -> None:
    before = seeded.objects()
    seeded.totesys(change)
    with pytest.raises(ContractViolation, match=message):
        seeded.ingest()
    assert seeded.objects() == before


NASTY = [
    ("UPDATE design SET last_updated = 'infinity' WHERE design_id = 7", "design 7: last_updated is 'infinity'"),
    ("UPDATE design SET created_at = '0044-03-15 BC' WHERE design_id = 7", "design 7: created_at is '0044-03-15"),
    ("UPDATE design SET created_at = '12000-01-01' WHERE design_id = 7", "design 7: created_at is '12000-01-01"),
    ("UPDATE payment SET payment_amount = 'NaN' WHERE payment_id = 7", "payment 7: payment_amount is 'NaN'"),
    (
        "UPDATE sales_order SET agreed_payment_date = '2024-02-30' WHERE sales_order_id = 7",
        "sales_order 7: agreed_payment_date is '2024-02-30', expected a date",
    ),
    (
        "ALTER TABLE staff ALTER first_name DROP NOT NULL; UPDATE staff SET first_name = NULL WHERE staff_id = 7",
        "staff 7: first_name is NULL, expected a value",
    ),
]


@pytest.mark.parametrize(("change", "message"), NASTY, ids=[message for _, message in NASTY])
def test_value_that_breaks_its_contract_is_named(seeded: Pipeline, change: str, message: str) -> None:
    before = seeded.objects()
    for statement in change.split("; "):
        seeded.totesys(statement)
    with pytest.raises(ContractViolation, match=message.split(":")[0]) as caught:
        seeded.ingest()
    assert message in str(caught.value)
    assert seeded.objects() == before


@on("seeded_totesys")
def test_table_that_may_not_be_read_is_named(seeded: Pipeline) -> None:
    seeded.totesys("REVOKE SELECT ON payment FROM totes_reader")
    with pytest.raises(AccessDenied, match=r"may not read payment .* GRANT SELECT ON payment"):
        seeded.ingest()


def test_prisma_migrations_stay_out(seeded: Pipeline) -> None:
    assert seeded.totesys("SELECT count(*) > 0 FROM _prisma_migrations") == [[True]]
    assert not [key for key in seeded.objects() if "prisma" in key]


@on("seeded_totesys")
def test_locked_table_is_waited_for_only_so_long(seeded: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totes.source.snapshot.LOCKING_SECONDS", 0.2)
    with seeded.connection(seeded.source) as other:
        cursor = other.cursor()
        cursor.execute("LOCK TABLE staff IN ACCESS EXCLUSIVE MODE")
        cursor.execute("SELECT pg_backend_pid()")
        ((pid,),) = cursor.fetchall()
        with pytest.raises(
            SourceBusy,
            match=rf"could not obtain lock on relation .public.staff.; .*locks are held by pid {pid} \(postgres, ",
        ):
            seeded.ingest()
    assert seeded.ingest().batch == 1


def designs(pipeline: Pipeline, above: int) -> list[int]:
    return [row[0] for row in pipeline.star("SELECT design_id FROM dim_design WHERE design_id > %s ORDER BY 1", above)]


def rewrite_position(pipeline: Pipeline, position: SourcePosition) -> None:
    """Makes the last landed batch name another position of totesys."""
    rewrite_last(pipeline, source=vars(position))


def rewrite_last(pipeline: Pipeline, **changes: object) -> None:
    """Rewrites fields of the last landed batch's manifest."""
    log = pipeline.landed()
    document = log.read(log.last()).as_json() | changes
    key = f"log/{document['batch']:08d}.json"
    pipeline.s3.put_object(Bucket=pipeline.landing_bucket, Key=key, Body=json.dumps(document).encode())


def test_quiet_run_takes_nine_round_trips_to_totesys(seeded: Pipeline) -> None:
    """Three round trips to connect, and one for each query; a network makes each of them take its time."""
    with counted(seeded.postgres.host) as wire:
        seeded.put_secret("source", seeded.source, READER, host=wire.host)
        seeded.ingest()  # SQLAlchemy sends queries of its own when it first connects
        before = wire.round_trips
        assert seeded.ingest().batch is None
    assert wire.round_trips - before == 9


def test_requests_to_the_lake_wait_for_few_others(seeded: Pipeline) -> None:
    """S3 takes some 20 ms for each request, so the longest chain of dependent requests counts."""
    seeded.run()
    with traced() as quiet:
        assert seeded.ingest().batch is None
        seeded.load()
    seeded.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id <= 60")
    seeded.totesys("UPDATE payment SET paid = NOT paid WHERE payment_id <= 40")
    with traced() as changed:
        seeded.run()
    assert quiet.depth <= 8, str(quiet)
    assert changed.depth <= 34, str(changed)
