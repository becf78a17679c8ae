from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cli.progress import LogHead, freshness, read_logs
from tests.support.pipeline import Pipeline
from totes.alerts.executions import Execution

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def logs(snapshot: timedelta | None) -> list[LogHead]:
    loaded = LogHead("loaded", 7, NOW, NOW - snapshot, 12) if snapshot is not None else LogHead("loaded")
    return [LogHead("landed"), LogHead("processed"), loaded]


def success(ago: timedelta | None) -> Execution | None:
    return Execution("arn", "name", "SUCCEEDED", NOW - ago, NOW) if ago is not None else None


def test_run_with_nothing_new_keeps_warehouse_fresh() -> None:
    fresh = freshness(logs(timedelta(days=2)), success(timedelta(minutes=4)), NOW)
    assert fresh.age == timedelta(minutes=4)
    assert fresh.kept


def test_snapshot_counts_where_no_execution_is_known() -> None:
    assert freshness(logs(timedelta(minutes=9)), None, NOW).age == timedelta(minutes=9)


@pytest.mark.parametrize(("minutes", "kept"), [(30, True), (31, False)])
def test_promise_breaks_after_thirty_minutes(minutes: int, kept: bool) -> None:
    assert freshness(logs(timedelta(days=2)), success(timedelta(minutes=minutes)), NOW).kept is kept


def test_empty_warehouse_keeps_no_promise() -> None:
    fresh = freshness(logs(None), success(timedelta(minutes=1)), NOW)
    assert (fresh.age, fresh.kept) == (None, False)


def test_rows_of_the_logs_leave_out_the_calendar(seeded: Pipeline) -> None:
    names: Any = SimpleNamespace(
        landing_bucket=seeded.landing_bucket,
        processed_bucket=seeded.processed_bucket,
        warehouse_secret=f"{seeded.name}/warehouse",
    )
    landed, processed, loaded = (log.rows for log in read_logs(names))
    # A department becomes a part of its staff's row.
    ((departments,),) = seeded.totesys("SELECT count(*) FROM department")
    assert processed == loaded == landed - departments
