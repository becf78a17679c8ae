"""Charts on a terminal."""

import io
from decimal import Decimal

import pytest

from cli.answers import Answer
from cli.charts.bars import bars
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
