import contextlib
from dataclasses import replace

import pg8000.dbapi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.postgres.server import Postgres
from totes.errors import SourceLagging
from totes.postgres.position import SourcePosition
from totes.source.fence import (
    COMPARABLE,
    CRASHED,
    FAILED_OVER,
    NOT_FLUSHED,
    RESTARTED,
    TOO_LONG_AGO,
    WAL_WENT_BACK,
    is_new,
    reason_to_read_all,
)

BEFORE = SourcePosition(
    "7437", 1, 16_384, xmin=1_000, xmax=1_010, started_at="2026-11-29T08:00:00Z", lsn="16/B374D848", fence=1_000
)
STANDBY = replace(BEFORE, started_at=None, in_recovery=True)


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (None, BEFORE, "first batch"),
        (BEFORE, BEFORE, None),
        (BEFORE, replace(BEFORE, xmin=1_200, xmax=1_200), None),
        (BEFORE, replace(BEFORE, xmin=1_000, xmax=1_000), None),
        (BEFORE, replace(BEFORE, system="7438"), "totesys was restored or moved"),
        (BEFORE, replace(BEFORE, database=16_385), "totesys was restored or moved"),
        (BEFORE, replace(BEFORE, system=None, timeline=None), None),
        (BEFORE, replace(BEFORE, timeline=2, started_at="2026-11-29T07:00:00Z"), FAILED_OVER),
        (BEFORE, replace(BEFORE, started_at="2026-11-29T09:00:00Z"), RESTARTED),
        (BEFORE, replace(BEFORE, started_at="2026-11-29T09:00:00Z", lsn="16/B374D847"), WAL_WENT_BACK),
        (BEFORE, replace(BEFORE, lsn="15/FFFFFFFF"), WAL_WENT_BACK),
        (BEFORE, replace(BEFORE, lsn="100/0"), None),
        (BEFORE, replace(BEFORE, started_at=None, lsn=None), None),
        (replace(BEFORE, started_at=None, lsn=None), BEFORE, None),
        (BEFORE, replace(BEFORE, timeline=None), None),
        (BEFORE, STANDBY, None),
        (replace(STANDBY, started_at=BEFORE.started_at), BEFORE, None),
        (replace(BEFORE, fence=None), BEFORE, NOT_FLUSHED),
        (replace(BEFORE, fence=900), replace(BEFORE, xmax=900 + COMPARABLE), TOO_LONG_AGO),
        (replace(BEFORE, flushed=False, recovered_at="a"), replace(BEFORE, recovered_at="b"), CRASHED),
        (replace(BEFORE, flushed=False, recovered_at="a"), replace(BEFORE, recovered_at="a"), None),
        (replace(BEFORE, recovered_at="a"), replace(BEFORE, recovered_at="b"), None),
        (BEFORE, replace(BEFORE, xmin=900, xmax=999), "transaction ids of totesys went backwards"),
        (BEFORE, replace(BEFORE, xmax=1_000 + COMPARABLE - 1), None),
        (BEFORE, replace(BEFORE, xmax=1_000 + COMPARABLE), "the last batch is too many transactions ago"),
        (BEFORE, replace(BEFORE, xmin=2**40, xmax=2**40), "the last batch is too many transactions ago"),
    ],
)
def test_fence_is_used_only_where_it_can_be(
    before: SourcePosition | None, now: SourcePosition, reason: str | None
) -> None:
    assert reason_to_read_all(before, now) == reason


def test_standby_that_is_older_than_the_last_batch_holds_the_run() -> None:
    with pytest.raises(
        SourceLagging,
        match=r"up to 16/B374D000; .* was read at 16/B374D848\. Nothing to do unless .* --full-read for every table\.$",
    ):
        reason_to_read_all(BEFORE, replace(STANDBY, lsn="16/B374D000"))


def news(postgres: Postgres, fence: int, xmins: list[int]) -> list[bool]:
    """Returns PostgreSQL's answer about rows whose `xmin` holds these ids, without writing one of them."""
    with contextlib.closing(postgres.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute(
            f"SELECT {is_new(fence, 'r')} FROM unnest(CAST(%s AS text[])) WITH ORDINALITY AS given (id, place), "
            "LATERAL (SELECT CAST(id AS xid) AS xmin) AS r ORDER BY place",
            ([str(xmin) for xmin in xmins],),
        )
        return [row[0] for row in cursor.fetchall()]


def next_xid(postgres: Postgres) -> int:
    return int(postgres.execute("SELECT CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text)")[0][0])


def test_fence_itself_is_new_and_older_is_not(postgres: Postgres) -> None:
    assert news(postgres, 500, [499, 500, 501]) == [False, True, True]


def test_order_is_kept_across_a_wrap_around(postgres: Postgres) -> None:
    """Ids a little below 2^32 are older than this young cluster's, as they are after a wrap-around."""
    last = 2**32 - 1
    assert news(postgres, last - 10, [last - 11, last - 10, last, 3, 500]) == [False, True, True, True, True]
    assert news(postgres, 500, [last - 11, last, 3, 499, 500]) == [False, False, False, False, True]


def test_fence_of_a_later_epoch_counts_by_its_low_bits(postgres: Postgres) -> None:
    assert news(postgres, 3 * 2**32 + 500, [499, 500]) == [False, True]


def test_row_of_more_than_two_billion_transactions_ago_is_not_new(postgres: Postgres) -> None:
    at = next_xid(postgres)
    long_ago = [(at - COMPARABLE - number) % 2**32 for number in (1, 1_000_000)]
    assert news(postgres, at - 1, long_ago) == [False, False]


def test_permanently_frozen_ids_are_never_new(postgres: Postgres) -> None:
    """Bootstrap's 1 and the 2 of a cluster upgraded from before 9.4 are older than everything."""
    assert news(postgres, 500, [1, 2]) == [False, False]


@settings(deadline=None, max_examples=10, derandomize=True)
@given(st.integers(0, COMPARABLE - 1), st.lists(st.integers(0, COMPARABLE - 1), min_size=1, max_size=50))
def test_any_two_comparable_ids_keep_their_order(postgres: Postgres, fence_age: int, ages: list[int]) -> None:
    # Ids are counted back from the newest; those below 3 are never assigned.
    at = next_xid(postgres)
    ids = [(at - age) % 2**32 for age in (fence_age, *ages)]
    usable = [(age, xid) for age, xid in zip((fence_age, *ages), ids, strict=True) if xid > 2]
    if usable[0][0] == fence_age:
        expected = [age <= fence_age for age, _ in usable]
        assert news(postgres, usable[0][1] + 2**32, [xid for _, xid in usable]) == expected


@pytest.fixture
def rows(totesys: pg8000.dbapi.Connection) -> pg8000.dbapi.Cursor:
    cursor = totesys.cursor()
    cursor.execute("CREATE TABLE rows (id integer)")
    cursor.execute("INSERT INTO rows VALUES (1)")
    totesys.commit()
    return cursor


def fence_now(cursor: pg8000.dbapi.Cursor) -> int:
    cursor.execute("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
    return int(cursor.fetchone()[0])


def new_rows(cursor: pg8000.dbapi.Cursor, fence: int) -> list[int]:
    cursor.execute(f"SELECT id FROM rows WHERE {is_new(fence, 'rows')} ORDER BY id")
    return [row[0] for row in cursor.fetchall()]


def test_rows_of_savepoints_are_new(totesys: pg8000.dbapi.Connection, rows: pg8000.dbapi.Cursor) -> None:
    fence = fence_now(rows)
    totesys.rollback()
    for statement in (
        "INSERT INTO rows VALUES (2)",
        "SAVEPOINT a",
        "INSERT INTO rows VALUES (3)",
        "SAVEPOINT b",
        "INSERT INTO rows VALUES (4)",
        "ROLLBACK TO SAVEPOINT b",
        "RELEASE SAVEPOINT a",
    ):
        rows.execute(statement)
    totesys.commit()
    assert new_rows(rows, fence) == [2, 3]


def test_freezing_makes_nothing_new_and_hides_nothing(
    totesys: pg8000.dbapi.Connection, rows: pg8000.dbapi.Cursor
) -> None:
    fence = fence_now(rows)
    rows.execute("INSERT INTO rows VALUES (2)")
    totesys.commit()
    totesys.autocommit = True
    rows.execute("VACUUM (FREEZE) rows")
    rows.execute("SELECT relfrozenxid::text::bigint > %s FROM pg_class WHERE relname = 'rows'", (fence,))
    assert rows.fetchone() == [True]
    assert new_rows(rows, fence) == [2]
