import io
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from rich.console import Console

from console.render import ago, cell, rows_table, say_csv, say_json, screen, took


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("units", 1234567, "1,234,567"),
        ("revenue", Decimal("1234567.50"), "1,234,567.50"),
        ("sales_order_id", 11187, "11187"),
        ("district", None, "—"),
        ("paid", True, "yes"),
        (
            "valid_from",
            datetime(2024, 8, 19, 20, 50, 10, tzinfo=timezone(timedelta(hours=2))),
            "2024-08-19 18:50:10 UTC",
        ),
        ("created_at", datetime(2024, 8, 19, 18, 50, 10, 122000), "2024-08-19 18:50:10.122"),  # noqa: DTZ001
        ("district", "[red]Bedfordshire[/red]", "[red]Bedfordshire[/red]"),
    ],
)
def test_values_read_as_a_person_expects(column: str, value: object, shown: str) -> None:
    assert cell(column, value).plain == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, ""), (0.0124, "12 ms"), (1.26, "1.3 s"), (59.9, "59.9 s"), (125, "2 min 5 s")]
)
def test_durations_keep_what_matters(seconds: float | None, shown: str) -> None:
    assert took(seconds) == shown


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (timedelta(seconds=42), "42 s"),
        (timedelta(0), "0 s"),
        (timedelta(minutes=30), "30 min 0 s"),
        (timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
    ],
)
def test_ages_show_two_units(span: timedelta, shown: str) -> None:
    assert ago(span) == shown


def test_narrow_table_cuts_no_number() -> None:
    row = {f"revenue_{year}": Decimal("567792732.95") for year in range(2020, 2024)}
    out = io.StringIO()
    Console(file=out, width=50).print(rows_table(list(row), [row]), crop=False)
    assert out.getvalue().count("567,792,732.95") == 4


def test_json_keeps_money_exact(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"revenue": Decimal("0.10"), "day": date(2024, 11, 15), "at": datetime(2024, 11, 15, 14, tzinfo=UTC)})
    assert json.loads(capsys.readouterr().out) == {
        "revenue": "0.10",
        "day": "2024-11-15",
        "at": "2024-11-15T14:00:00+00:00",
    }


def test_csv_quotes_commas_and_leaves_null_empty(capsys: pytest.CaptureFixture[str]) -> None:
    say_csv(["name", "district"], [{"name": "Yost, Watsica and Mann", "district": None}])
    assert capsys.readouterr().out == 'name,district\n"Yost, Watsica and Mann",\n'


def test_output_that_is_no_terminal_has_one_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert screen().width == 110
