"""Charts on a terminal."""

import io
from decimal import Decimal
from pathlib import Path

import pytest

from cli.answers import Answer
from cli.charts.bars import bars
from cli.charts.declaration import QuestionInvalid
from cli.render.terminal import Screen
from tests.unit.cli.charts.answers import answer_of, monthly


def shown(answer: Answer, width: int = 60, encoding: str = "utf-8") -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    screen = Screen(file=out, width=width)
    assert answer.chart
    for table in bars(answer, answer.chart):
        screen.print(table)
    out.seek(0)
    return out.read()


def lines_of(text: str) -> list[str]:
    """Returns the lines below the heading."""
    lines = [line.strip(" |") for line in text.splitlines()]
    return [
        line
        for line in lines[lines.index(max(lines, key=lambda line: line.count("─") + line.count("-"))) + 1 :]
        if line
    ]


def lengths(text: str, block: str = "█") -> list[int]:
    return [line.count(block) for line in text.splitlines() if block in line]


def test_bars_are_as_long_as_their_values() -> None:
    rows = [{"name": name, "units": units} for name, units in (("Zoe", 400), ("Ann", 100))]
    longest, shortest = lengths(shown(answer_of(rows, "bar, x=units, y=name")))
    assert longest // 4 in (shortest, shortest + 1)
    assert longest > 30


@pytest.mark.parametrize("width", [40, 60, 120])
def test_longest_bar_of_each_currency_is_as_wide_as_there_is_room(width: int) -> None:
    rows = [*monthly("EUR"), *({**row, "revenue": row["revenue"] * 1000} for row in monthly("JPY"))]
    text = shown(answer_of(rows, "line, x=month, y=revenue, row=currency_code"), width)
    found = lengths(text)
    assert found[2] in range(found[5] - 5, found[5] + 6)
    assert max(map(len, text.splitlines())) <= max(width, 60)
    assert "revenue, EUR" in text
    assert "3,000,000,000" in text


def test_panels_of_one_unit_share_a_scale() -> None:
    rows = [{"country": country, "design": "Jute", "units": units} for country, units in (("Peru", 100), ("Oman", 50))]
    peru, oman = lengths(shown(answer_of(rows, "bar, x=units, y=design, row=country")))
    assert peru // 2 == oman


def test_unfinished_month_says_so() -> None:
    assert "2024-03 (unfinished)" in shown(answer_of(monthly("EUR"), "line, x=month, y=revenue, row=currency_code"))


def test_negative_values_go_the_other_way() -> None:
    rows = [{"name": "up", "units": 50}, {"name": "down", "units": -50}]
    up, down = (line for line in shown(answer_of(rows, "bar, x=units, y=name")).splitlines() if "█" in line)
    assert up.index("█") >= down.rindex("█")


@pytest.mark.parametrize("value", [0, None, Decimal("0.00")])
def test_nothing_has_no_bar(value: Decimal | int | None) -> None:
    rows = [{"name": "none", "units": value}, {"name": "zero", "units": 0}]
    assert lengths(shown(answer_of(rows, "bar, x=units, y=name"))) == []


def test_terminal_without_blocks_has_number_signs() -> None:
    rows = [{"name": "Ann", "units": 5}]
    assert lengths(shown(answer_of(rows, "bar, x=units, y=name"), encoding="ascii"), "#")[0] > 20


@pytest.mark.parametrize(("width", "encoding", "block"), [(60, "utf-8", "▏"), (120, "utf-8", "▏"), (60, "ascii", "#")])
def test_what_is_little_can_still_be_seen(width: int, encoding: str, block: str) -> None:
    rows = [{"name": "much", "units": 1_000_000}, {"name": "little", "units": 1}, {"name": "less", "units": -1}]
    lines = lines_of(shown(answer_of(rows, "bar, x=units, y=name"), width, encoding))
    (little,) = [line for line in lines if line.startswith("little")]
    assert block in little
    (less,) = [line for line in lines if line.startswith("less")]
    assert set(less.rstrip()[-1:]) & set("▏▕▐█#")


def test_series_are_groups() -> None:
    rows = [
        {"month": f"2024-0{month}", "side": side, "units": month} for month in (1, 2) for side in ("sold", "bought")
    ]
    words = [line.split()[0] for line in lines_of(shown(answer_of(rows, "line, x=month, y=units, color=side")))]
    assert words == ["sold", "2024-01", "2024-02", "bought", "2024-01", "2024-02"]


def test_quantities_that_a_refinement_folds_are_all_there(tmp_path: Path) -> None:
    (tmp_path / "asked.vl.json").write_text('{"transform": [{"fold": ["paid", "open"], "as": ["state", "count"]}]}')
    rows = [{"age": f"{age}d", "paid": 100 * age, "open": age} for age in (1, 2)]
    text = shown(answer_of(rows, "bar, x=paid, y=age", tmp_path))
    assert [line.split()[:2] for line in lines_of(text)] == [
        ["paid"],
        ["1d", "100"],
        ["2d", "200"],
        ["open"],
        ["1d", "1"],
        ["2d", "2"],
    ]
    assert lengths(text, "▏") or lengths(text)


def test_things_of_one_name_are_numbered_as_in_the_picture() -> None:
    rows = [{"staff_id": key, "name": "Ann Fry", "units": 5} for key in (1, 2)]
    assert "Ann Fry (2)" in shown(answer_of(rows, "bar, x=units, y=name"))


def test_two_rows_of_one_month_are_refused_as_in_the_picture() -> None:
    with pytest.raises(QuestionInvalid, match=r"several rows for month 2024-01: add a column to row or color"):
        shown(answer_of([*monthly("EUR"), *monthly("EUR")], "line, x=month, y=revenue, row=currency_code"))
