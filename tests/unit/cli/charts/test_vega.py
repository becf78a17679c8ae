"""Charts as they are drawn: by Vega-Lite, on this machine."""

import re
import socket
import struct
import xml.etree.ElementTree as ElementTree
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cli.charts import theme
from cli.charts.declaration import QuestionInvalid
from cli.charts.vega import panel_svgs, png, svg, whole
from cli.errors import CommandFailed
from local.aws.deployment import ROOT
from tests.unit.cli.charts.answers import answer_of, monthly

LINE = "line, x=month, y=revenue, row=currency_code"


def texts(drawn: str) -> list[str]:
    found = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314
    return ["".join(text.itertext()) for text in found]


def test_each_currency_has_a_panel_with_its_unit_and_scale() -> None:
    rows = [*monthly("EUR"), *({**row, "revenue": row["revenue"] * 1000} for row in monthly("JPY"))]
    panels = dict(panel_svgs(answer_of(rows, LINE)))
    assert list(panels) == ["EUR", "JPY"]
    assert {"Revenue, EUR", "3M"} <= set(texts(panels["EUR"]))
    assert {"Revenue, JPY", "3bn"} <= set(texts(panels["JPY"]))


def test_panels_that_can_be_compared_share_a_scale() -> None:
    rows = [{"country": country, "design": "Jute", "units": units} for country, units in (("Peru", 900), ("Oman", 5))]
    panels = dict(panel_svgs(answer_of(rows, "bar, x=units, y=design, row=country")))
    assert texts(panels["Peru"]) == texts(panels["Oman"])


def test_whole_chart_has_title_moment_panels_and_units() -> None:
    shown = texts(svg(answer_of(monthly("EUR", "GBP"), LINE)))
    assert "What is asked?" in shown
    assert "From batch 7, totesys as of 2024-11-15 14:09:00 UTC" in "".join(shown)
    assert {"EUR", "GBP", "Revenue, EUR", "Revenue, GBP", "Feb 2024"} <= set(shown)


@pytest.mark.parametrize("unfinished", [True, False])
def test_way_to_an_unfinished_month_is_dashed_and_explained(unfinished: bool) -> None:
    rows = [{**row, "unfinished": row["unfinished"] and unfinished} for row in monthly("EUR")]
    drawn = svg(answer_of(rows, LINE))
    assert ("stroke-dasharray" in drawn) == unfinished
    assert ("not over yet" in drawn) == unfinished


def test_bar_of_an_unfinished_month_is_lighter() -> None:
    ((_, drawn),) = panel_svgs(answer_of(monthly("EUR"), "bar, x=month, y=revenue, row=currency_code"))
    bars = re.findall(r'<path aria-hidden="true" d="[^"]+" fill="#0072b2"[^>]*>', drawn) or re.findall(
        r'<path d="[^"]+" fill="#0072b2"[^>]*>', drawn
    )
    assert [bar.count('opacity="0.4"') for bar in bars] == [0, 0, 1]


def test_bars_stand_in_the_order_of_the_answer() -> None:
    rows = [{"name": name, "units": units} for name, units in (("Zoe", 3), ("Ann", 2), ("Max", 1))]
    ((_, drawn),) = panel_svgs(answer_of(rows, "bar, x=units, y=name"))
    assert [text for text in texts(drawn) if text in ("Zoe", "Ann", "Max")] == ["Zoe", "Ann", "Max"]


def test_two_people_of_one_name_are_two_bars() -> None:
    rows = [{"staff_id": key, "name": "Ann Fry", "units": 5} for key in (1, 2)]
    ((_, drawn),) = panel_svgs(answer_of(rows, "bar, x=units, y=name"))
    assert {"Ann Fry", "Ann Fry (2)"} <= set(texts(drawn))


def test_two_rows_of_one_month_are_refused() -> None:
    with pytest.raises(QuestionInvalid, match=r"several rows for month 2024-01: add a column to row"):
        svg(answer_of([*monthly("EUR"), *monthly("EUR")], LINE))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (["2023-12", "2024-01"], "Dec 2023"),
        (["2023 Q4", "2024 Q1"], "2023 Q4"),
        ([date(2024, 11, 15), date(2024, 11, 16)], "15 Nov 2024"),
        (["Monday", "Tuesday"], "Monday"),
        (["2023-12", "later"], "2023-12"),
        ([None, "Tuesday"], "—"),
    ],
)
@pytest.mark.parametrize("kind", ["bar", "line"])
def test_periods_are_read_as_time_and_the_rest_as_names(values: list[Any], shown: str, kind: str) -> None:
    rows = [{"when": value, "units": number} for number, value in enumerate(values)]
    ((_, drawn),) = panel_svgs(answer_of(rows, f"{kind}, x=when, y=units"))
    assert shown in texts(drawn)


def test_missing_negative_and_large_numbers_are_drawn() -> None:
    values = [None, -5, Decimal("99999999999999.99"), 0]
    rows = [{"name": str(number), "amount": value} for number, value in enumerate(values)]
    ((_, drawn),) = panel_svgs(answer_of(rows, "bar, x=amount, y=name"))
    assert {"0", "100T"} <= set(texts(drawn))


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a & b", "\x1b[31m", "\x00", "]]>", "\ud800"]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_data_becomes_markup(text: str) -> None:
    rows = [{"name": text, "side": text, "units": 1}]
    drawn = svg(answer_of(rows, "bar, x=units, y=name, row=side"))
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawn).iter()}  # noqa: S314
    assert tags <= {"svg", "g", "path", "text", "line", "rect", "style", "defs", "clipPath", "linearGradient"}


def test_picture_has_twice_the_pixels() -> None:
    drawn = png(answer_of(monthly("EUR"), LINE))
    width, height = struct.unpack(">II", drawn[16:24])
    assert drawn[:8] == b"\x89PNG\r\n\x1a\n"
    assert 2 * 640 < width < 2 * 800
    assert height > 300


def test_narrow_panels_fit_a_phone() -> None:
    for _, drawn in panel_svgs(answer_of(monthly("EUR"), LINE)):
        assert ElementTree.fromstring(drawn).get("width") == "340"  # noqa: S314


def test_dark_has_a_colour_for_each_that_is_drawn() -> None:
    drawn = svg(answer_of(monthly("EUR"), LINE))
    body = drawn[drawn.index("</style>") :]
    used = set(re.findall(r'(?:fill|stroke)="(#\w+)"', body))
    assert used == {theme.INK, theme.SOFT, theme.LINE, theme.SHEET, theme.SERIES[0]}
    for light, dark in theme.DARK.items():
        assert f'[fill="{light}"]{{fill:{dark}}}' in theme.dark_rules()
    sheet = (ROOT / "web" / "static" / "theme.css").read_text()
    for light, dark in list(theme.DARK.items())[:4]:
        assert light in sheet
        assert dark in sheet


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A specification can't name data elsewhere, and what is drawn names nothing either."""
    monkeypatch.setattr(socket, "socket", None)
    drawn = svg(answer_of(monthly("EUR"), LINE))
    assert set(re.findall(r"https?://[^\"' ]+", drawn)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_what_vega_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "asked.vl.json").write_text('{"mark": "nonsense"}')
    with pytest.raises(QuestionInvalid, match=r"asked.sql:4: Chart: Vega-Lite can't draw it: "):
        svg(answer_of(monthly("EUR"), "bar, x=month, y=revenue, row=currency_code", tmp_path))


@pytest.mark.parametrize("draw", [svg, png, panel_svgs])
def test_what_can_not_be_drawn_is_said(draw: Any) -> None:
    with pytest.raises(CommandFailed, match="asked has no chart"):
        draw(answer_of(monthly("EUR")))
    with pytest.raises(CommandFailed, match="no rows, so there is nothing to draw"):
        draw(answer_of([], LINE))


def test_refinement_is_merged_into_each_panel(tmp_path: Path) -> None:
    (tmp_path / "asked.vl.json").write_text('{"encoding": {"y": {"title": "Sold"}}, "height": 99}')
    answer = answer_of(monthly("EUR", "GBP"), LINE, tmp_path)
    assert answer.chart
    for panel in whole(answer, answer.chart)["vconcat"]:
        assert (panel["encoding"]["y"]["title"], panel["encoding"]["y"]["field"], panel["height"]) == (
            "Sold",
            "revenue",
            99,
        )
