from datetime import UTC, datetime, timedelta

from totes.alerts.executions import Execution
from web.history import FEWEST, GAP, HEIGHT, LOWEST, WIDTH, history
from web.progress import Status

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def execution(name: str, status: str, seconds: float, **loaded: int) -> Execution:
    started = NOW - timedelta(seconds=seconds)
    load = {"inserted": {"fact_payment": loaded.get("inserted", 0)}, "updated": {"dim_staff": loaded.get("updated", 0)}}
    output = {"load": load} if loaded else {}
    return Execution(f"arn:{name}", name, status, started, None if status == "RUNNING" else NOW, output=output)


FIRST = execution("first", "SUCCEEDED", 12, inserted=16_000)
SECOND = execution("second", "FAILED", 70)
THIRD = execution("third", "SUCCEEDED", 2, inserted=5, updated=2)
FOURTH = execution("fourth", "RUNNING", 1)


def test_bars_stand_from_the_oldest_to_the_newest() -> None:
    shown = history([FOURTH, THIRD, SECOND, FIRST], NOW)
    assert [bar.execution for bar in shown.bars] == ["first", "second", "third", "fourth"]
    assert [bar.status for bar in shown.bars] == [Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED, Status.RUNNING]
    assert [bar.rows for bar in shown.bars] == [16_000, 0, 7, 0]
    assert [bar.seconds for bar in shown.bars] == [12, 70, 2, 1]
    assert (shown.most_rows, shown.longest) == (16_000, 70)


def test_newest_ends_on_the_right_however_many_there_are() -> None:
    for count in (1, 3, FEWEST + 5):
        shown = history([THIRD] * count, NOW)
        assert shown.bars[-1].x + WIDTH == shown.width
        assert shown.bars[0].x >= 0
        assert shown.width == max(FEWEST, count) * (WIDTH + GAP) - GAP


def test_heights_fill_the_row_and_none_that_is_there_vanishes() -> None:
    few = execution("few", "SUCCEEDED", 0.01, inserted=1)
    shown = history([few, SECOND, FIRST], NOW)
    assert [bar.rows_height for bar in shown.bars][:2] == [HEIGHT, 0]
    assert LOWEST <= shown.bars[2].rows_height < HEIGHT / 2
    assert shown.bars[2].seconds_height >= LOWEST
    assert max(bar.seconds_height for bar in shown.bars) == HEIGHT


def test_nothing_has_no_history() -> None:
    shown = history([], NOW)
    assert (shown.bars, shown.most_rows, shown.longest) == ([], 0, 0.0)
