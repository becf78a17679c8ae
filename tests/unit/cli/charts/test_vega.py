"""Charts as they are drawn: by Vega-Lite, on this machine."""

import itertools
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
from cli.render.terminal import Row
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


@pytest.mark.parametrize("color", ["", ", color=side"])
def test_bar_of_an_unfinished_month_is_lighter_and_hides_the_grid(color: str) -> None:
    rows = [{**row, "side": side} for row in monthly("EUR") for side in ("sales", "purchases")[: 2 if color else 1]]
    ((_, drawn),) = panel_svgs(answer_of(rows, f"bar, x=month, y=revenue, row=currency_code{color}"))
    bars = re.findall(r'<path (?:aria-hidden="true" )?d="[^"]+" fill="(#\w+)"', drawn)
    first, second = theme.SERIES[:2]
    expected = {first: 2, theme.TINTS[first]: 1} | ({second: 2, theme.TINTS[second]: 1} if color else {})
    assert {colour: bars.count(colour) for colour in expected} == expected
    assert 'opacity="0.4"' not in drawn


def test_line_is_dashed_at_both_ends_and_solid_between() -> None:
    rows = [{**row, "unfinished": row["month"] in ("2024-01", "2024-06")} for row in monthly("EUR", months=6)]
    (drawn,) = [drawn for _, drawn in panel_svgs(answer_of(rows, LINE))]
    lines = re.findall(r'<path [^>]*d="(M[^"]+L[^"]+)"[^>]*stroke="#0072b2"[^>]*>', drawn)
    assert sorted(line.count("L") for line in lines) == [1, 1, 3]
    assert drawn.count("stroke-dasharray") == 2


def test_dashes_of_one_series_end_at_its_own_points() -> None:
    rows = [{**row, "side": side} for row in monthly("EUR") for side in ("sales", "purchases")]
    (drawn,) = [drawn for _, drawn in panel_svgs(answer_of(rows, f"{LINE}, color=side"))]
    assert drawn.count("stroke-dasharray") == 2
    assert {"sales", "purchases"} <= set(texts(drawn))


def departments(count: int, months: int = 2) -> list[Row]:
    return [
        {**row, "department": f"Department {number}", "revenue": number}
        for row in monthly("EUR", months=months)
        for number in range(1, count + 1)
    ]


def test_eight_series_have_eight_colours_the_same_in_each_panel() -> None:
    rows = departments(8)
    answer = answer_of([*rows, *({**row, "currency_code": "GBP"} for row in rows[3:8])], f"{LINE}, color=department")
    eur, gbp = (drawn for _, drawn in panel_svgs(answer))
    assert set(re.findall(r'stroke="(#\w+)"', eur)) >= set(theme.SERIES)
    used = set(re.findall(r'<path [^>]*d="M[^"]+"[^>]*stroke="(#\w+)" stroke-width="1.8"', gbp))
    assert used & set(theme.SERIES) >= set(theme.SERIES[3:8])


@pytest.mark.parametrize("draw", [svg, png, panel_svgs])
def test_ninth_series_is_refused_with_what_to_do(draw: Any) -> None:
    with pytest.raises(QuestionInvalid) as caught:
        draw(answer_of(departments(9), f"{LINE}, color=department"))
    assert caught.value.message == (
        "queries/asked.sql:4: Chart: department has 9 values, but there are only 8 distinguishable colours. "
        "Select fewer values with a WHERE, or add department to row instead."
    )


@pytest.mark.parametrize(
    "chart", [f"{LINE}, color=department", "bar, x=revenue, y=month, row=currency_code, color=department"]
)
def test_legend_wraps_within_the_picture(chart: str) -> None:
    rows = [{**row, "department": row["department"] * 2} for row in departments(7)]
    answer = answer_of(rows, chart)
    for drawn, width in ((panel_svgs(answer)[0][1], 340), (svg(answer), 780)):
        found = ElementTree.fromstring(drawn)  # noqa: S314
        shown = [text for text in texts(drawn) if text.startswith("Department")]
        assert len(shown) == 7
        assert not any("…" in text for text in shown)
        assert float(found.get("width", "0")) <= width


def test_zero_stands_under_its_line_and_labels_have_room() -> None:
    rows = [{"name": "Ann", "units": 587_000_000}, {"name": "Max", "units": 3}]
    ((_, drawn),) = panel_svgs(answer_of(rows, "bar, x=units, y=name"))
    labels = re.findall(r'text-anchor="(\w+)" transform="translate\(([\d.]+),[\d.]+\)"[^>]*>(?:0|\d+M)<', drawn)
    assert {anchor for anchor, _ in labels} == {"middle"}
    places = [float(place) for _, place in labels]
    assert all(right - left > 35 for left, right in itertools.pairwise(places))


def test_refined_axis_has_the_unit_of_each_panel(tmp_path: Path) -> None:
    (tmp_path / "asked.vl.json").write_text(
        '{"transform": [{"fold": ["revenue", "revenue"], "as": ["state", "amount"]}],'
        ' "encoding": {"y": {"field": "amount", "title": "Amount"}}}'
    )
    panels = dict(panel_svgs(answer_of(monthly("EUR", "GBP"), LINE.replace("line", "bar"), tmp_path)))
    assert {label: [text for text in texts(drawn) if "Amount" in text] for label, drawn in panels.items()} == {
        "EUR": ["Amount, EUR"],
        "GBP": ["Amount, GBP"],
    }


def test_codes_are_called_by_words() -> None:
    rows = [{**row, "kind": "SALES_RECEIPT"} for row in monthly("EUR")]
    ((label, _),) = panel_svgs(answer_of(rows, "line, x=month, y=revenue, row=kind+currency_code"))
    assert label == "Sales receipt · EUR"


def test_bars_stand_in_the_order_of_the_answer() -> None:
    rows = [{"name": name, "units": units} for name, units in (("Zoe", 3), ("Ann", 2), ("Max", 1))]
    ((_, drawn),) = panel_svgs(answer_of(rows, "bar, x=units, y=name"))
    assert [text for text in texts(drawn) if text in ("Zoe", "Ann", "Max")] == ["Zoe", "Ann", "Max"]


def test_two_people_of_one_name_are_two_bars() -> None:
    rows = [{"staff_id": key, "name": "Ann Fry", "units": 5} for key in (1, 2)]
    ((_, drawn),) = panel_svgs(answer_of(rows, "bar, x=units, y=name"))
    assert {"Ann Fry", "Ann Fry (2)"} <= set(texts(drawn))


def test_two_rows_of_one_month_are_refused() -> None:
    with pytest.raises(QuestionInvalid, match=r"several rows for month 2024-01: add a column to row or color"):
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
    """A specification can't name external data, and neither does the drawing."""
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
