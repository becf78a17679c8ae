import contextlib
import io
import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.render.terminal import (
    FirstThatFits,
    Row,
    Screen,
    ago,
    cell,
    plain_table,
    records_table,
    rows_table,
    say_csv,
    say_error,
    say_json,
    screen,
    took,
)
from totes.runtime.redaction import visible


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


@pytest.mark.parametrize("width", [20, 60, 80, 120])
@pytest.mark.parametrize("kind", [rows_table, records_table])
def test_no_width_cuts_a_word_of_a_heading(kind: Callable[[list[str], list[Row]], Table], width: int) -> None:
    columns = ["counterparty_legal_name", "outstanding_amount", "agreed_delivery_location_id", "percent_on_year_before"]
    out = io.StringIO()
    screen_of(out, width).print(kind(columns, [dict.fromkeys(columns, Decimal("239403658.88"))]))
    for column in columns:
        for word in column.split("_"):
            assert re.search(rf"(?<!\w){word}(?!\w)", out.getvalue()), word
    assert out.getvalue().count("239,403,658.88") == 4


@pytest.mark.parametrize("width", [20, 60])
def test_no_width_cuts_a_word_of_any_tables_heading(width: int) -> None:
    table = plain_table()
    for title in ("execution", "started", "rows inserted", "quarantined"):
        table.add_column(title)
    table.add_row("a", "b", "c", "d")
    out = io.StringIO()
    screen_of(out, width).print(table)
    assert set(out.getvalue().split()) >= {"execution", "started", "rows", "inserted", "quarantined"}


def screen_of(out: io.StringIO, width: int) -> Console:
    return Screen(file=out, width=width)


OBEYED = [
    "\x1b[31m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "a\rb",
    "a\bb",
    "\x00",
    "\x0b",
    "\x7f",
    "\u202egnp",
    "\u2066",
    "\u2028",
]
TEXTS = st.lists(
    st.sampled_from([*OBEYED, "[red]", "[/red]", "[link=x]", ":smile:", "\\[", "word", " "]) | st.text(max_size=3),
    max_size=6,
).map("".join)


def obeyed(text: str) -> set[str]:
    """Returns the characters that a terminal would act upon, without line breaks."""
    controls = {
        letter for letter in text if unicodedata.category(letter) in {"Cc", "Zl", "Zp", "Cs"} and letter != "\n"
    }
    return controls | {letter for letter in text if unicodedata.bidirectional(letter) in DIRECTIONS}


DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize("kind", [str, Text, Text.assemble, Panel, lambda text: rows_table(["a"], [{"a": text}])])
@settings(deadline=None)
@given(text=TEXTS)
def test_nothing_in_data_is_obeyed(kind: Callable[[str], RenderableType], text: str) -> None:
    out = io.StringIO()
    screen(file=out).print(kind(text))
    assert obeyed(out.getvalue()) == set()


@pytest.mark.parametrize("table", [rows_table, records_table])
@pytest.mark.parametrize("text", [*OBEYED, "[red]a[/red]", "[/red]", ":smile:", "\\[red]"])
def test_what_is_in_data_is_shown(table: Callable[[list[str], list[Row]], Table], text: str) -> None:
    out = io.StringIO()
    screen(file=out).print(table(["a"], [{"a": f"<{text}>"}]))
    assert f"<{visible(text)}>" in out.getvalue()


@pytest.mark.parametrize("column", ["[red]a[/red]", "\x1b[31ma"])
def test_names_of_columns_are_data_too(column: str) -> None:
    for table in (rows_table([column], [{column: 1}]), records_table([column], [{column: 1}])):
        out = io.StringIO()
        screen(file=out).print(table)
        assert visible(column) in out.getvalue()


@settings(deadline=None)
@given(text=TEXTS)
def test_error_is_one_line_and_obeys_nothing(text: str) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as err:
        say_error(f"{text}\ntotes: All is well.")
    assert obeyed(err.getvalue()) == set()
    assert err.getvalue().count("\n") == 1


@settings(deadline=None)
@given(text=TEXTS)
def test_json_holds_what_is_there_and_obeys_nothing(text: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        say_json({"a": text})
    assert json.loads(out.getvalue()) == {"a": text}
    assert obeyed(out.getvalue()) == set()


def test_csv_is_exact_in_a_file_and_obeys_nothing_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, expected in ((False, "a\n\x1b[31m\n"), (True, "a\n\\x1b[31m\n")):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            monkeypatch.setattr(out, "isatty", lambda terminal=terminal: terminal)
            say_csv(["a"], [{"a": "\x1b[31m"}])
        assert out.getvalue() == expected


def test_every_command_prints_by_such_a_screen() -> None:
    """A command with a console of its own would pass control characters in data on to the terminal."""
    modules = [path for path in Path("console").rglob("*.py") if path.name != "render.py"]
    assert [path.name for path in modules if re.search(r"\bConsole\(|[^.\w]print\(", path.read_text())] == []


@pytest.mark.parametrize("digits", ["0.10", "-567792732.95", "12345678901234567890123456.78", "1E+3", "0"])
def test_json_has_every_digit_of_a_decimal_as_a_number(digits: str, capsys: pytest.CaptureFixture[str]) -> None:
    say_json([{"revenue": Decimal(digits)}])
    shown = capsys.readouterr().out
    assert f'"revenue": {digits}\n' in shown
    (row,) = json.loads(shown, parse_float=Decimal)
    assert row["revenue"] == Decimal(digits)


def test_json_has_moments_as_texts(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"day": date(2024, 11, 15), "at": datetime(2024, 11, 15, 14, tzinfo=UTC)})
    assert json.loads(capsys.readouterr().out) == {"day": "2024-11-15", "at": "2024-11-15T14:00:00+00:00"}


def test_csv_quotes_commas_and_leaves_null_empty(capsys: pytest.CaptureFixture[str]) -> None:
    say_csv(["name", "district"], [{"name": "Yost, Watsica and Mann", "district": None}])
    assert capsys.readouterr().out == 'name,district\n"Yost, Watsica and Mann",\n'


def test_output_that_is_no_terminal_has_one_width(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in ("", "0", "wide"):
        monkeypatch.setenv("COLUMNS", columns)
        assert screen().width == 110


def test_columns_say_how_wide_a_pipe_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert screen().width == 60


def rendered(table: RenderableType, width: int) -> list[str]:
    console = Screen(width=width, file=io.StringIO(), record=True)
    console.print(table)
    return [line.rstrip() for line in console.export_text().splitlines()]


def named_counts(*headings: str) -> Table:
    table = plain_table()
    for heading in headings:
        table.add_column(heading)
    table.add_row("fact_purchase_order", *("16,005" for _ in headings[1:]))
    return table


@pytest.mark.parametrize("width", [44, 50, 60, 200])
def test_columns_with_most_to_spare_are_narrowed(width: int) -> None:
    lines = rendered(named_counts("warehouse table", "current in the warehouse", "on their way"), width)
    assert max(map(len, lines)) <= width
    assert any("fact_purchase_order" in line for line in lines)


def test_no_word_is_cut_in_a_table_that_is_too_wide() -> None:
    lines = rendered(named_counts("table", "current"), 10)
    assert any("fact_purchase_order  16,005" in line for line in lines)


@pytest.mark.parametrize(("width", "columns"), [(80, 3), (30, 2), (10, 1)])
def test_first_table_that_fits_is_shown(width: int, columns: int) -> None:
    tables = [named_counts(*("table", "rows", "extra")[:count]) for count in (3, 2, 1)]
    (row,) = (line for line in rendered(FirstThatFits(*tables), width) if "fact" in line)
    assert len(row.split()) == columns
