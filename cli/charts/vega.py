"""Draws answers' charts with Vega-Lite. vl-convert renders them locally, without a network or a browser.

vl-convert is imported only when a chart is drawn, because the import takes a second.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

from cli.answers import UNFINISHED, Answer
from cli.charts.declaration import CURRENCY, Chart
from cli.charts.periods import Period, period_of
from cli.charts.theme import CLASS, CONFIG, INK, SERIES, TINTS, dark_rules
from cli.errors import CommandFailed
from cli.render.terminal import cell, heading

# Widths in pixels: the room on a phone 390 pixels wide, and in a file.
NARROW, WIDE = 340, 640
NOT_OVER = "Lighter or dashed periods are unfinished: not over yet, or begun before the first order."
_VERSION = "6.4"
_HEIGHT, _STEP = 150, 19
# Approximate widths: of a letter, a legend's mark with its margins, an axis's numbers and its gaps. Longer names on an
# axis are cut.
_LETTER, _MARK, _NUMBERS, _GAPS, _NAME_LIMIT = 6.2, 32, 55, 20, 150
# The field with the number of a point's dashed segment.
_DASH = "_dash"
_SHORT_NUMBER = "replace(format(datum.value, '~s'), 'G', 'bn')"

Document = dict[str, Any]
Extent = tuple[float, float] | None


def panel_svgs(answer: Answer) -> list[tuple[str, str]]:
    """Returns a narrow chart for each panel, as (label, SVG), for pages that put them side by side.

    The SVGs contain no style sheet: the page must include cli.charts.theme.dark_rules.

    Raises:
        CommandFailed: the question has no chart, or its answer has no rows.
        QuestionInvalid: its chart does not fit the answer.
    """
    chart = _chart(answer)
    extent, series = _extent(answer, chart), answer.series(chart)
    narrow = {"width": NARROW, "autosize": {"type": "fit-x", "contains": "padding"}}
    return [
        (panel.label(chart), _svg({**narrow, **_panel(panel, chart, extent, series, NARROW)}, chart))
        for panel in answer.panels(chart)
    ]


def svg(answer: Answer) -> str:
    """Returns the whole chart as one SVG, for light and dark mode. Raises the same errors as panel_svgs."""
    chart = _chart(answer)
    return _svg(whole(answer, chart), chart).replace(">", f"><style>{dark_rules()}</style>", 1)


def png(answer: Answer) -> bytes:
    """Returns the whole chart as a light PNG at double resolution. Raises the same errors as panel_svgs."""
    chart = _chart(answer)
    picture: bytes = _rendered("vegalite_to_png", whole(answer, chart), chart, scale=2)
    return picture


def whole(answer: Answer, chart: Chart) -> Document:
    """Returns the Vega-Lite specification of all panels, one below the other, titled with the question."""
    extent, series = _extent(answer, chart), answer.series(chart)
    panels = [
        {"width": WIDE, **_panel(panel, chart, extent, series, WIDE, panel.label(chart))}
        for panel in answer.panels(chart)
    ]
    subtitle = [f"From {answer.as_of}", *([NOT_OVER] if answer.has_unfinished else [])]
    title = {"text": answer.question.sentence, "subtitle": subtitle, "fontSize": 16, "offset": 14}
    return {"title": title, "vconcat": panels, "spacing": 18, "padding": 16}


def _chart(answer: Answer) -> Chart:
    chart = answer.chart
    if chart is None:
        raise CommandFailed(f"{answer.question.name} has no chart.")
    if not answer.rows:
        raise CommandFailed(f"{answer.question.name} has no rows, so there is nothing to draw.")
    return chart


def _extent(answer: Answer, chart: Chart) -> Extent:
    """Returns the panels' common scale; None if each has its own, because of currencies or stacked bars."""
    if CURRENCY in chart.row or chart.color or chart.refinement:
        return None
    _, quantity = answer.axes(chart)
    return answer.extent(quantity)


def _panel(
    answer: Answer, chart: Chart, extent: Extent, series: Sequence[str], width: int, title: str = ""
) -> Document:
    category, quantity = answer.axes(chart)
    period = period_of(row[category] for row in answer.rows)
    across, along = ("x", "y") if quantity == chart.y else ("y", "x")
    values = _values(answer, chart, category, period)
    # NARROW is the whole panel's width; WIDE is the width of the bars or lines alone.
    beside = _NUMBERS if across == "x" else _width_of_names(values, category, period)
    room = width if width == WIDE else width - beside
    document = {
        "data": {"values": values},
        "height": _HEIGHT if across == "x" else {"step": _STEP},
        "encoding": {
            across: _time(category, period, chart.kind) if period else _names(category),
            along: _quantity(answer, quantity, extent, width),
            **_colour(answer, chart, series, room),
        },
        **_marks(answer, chart, values),
        **({"title": {"text": title, "fontSize": 12, "offset": 6, "frame": "group"}} if title else {}),
    }
    return _with_unit(_merged(document, chart.refinement), along, answer.unit(chart.folded[0]) if chart.folded else "")


def _with_unit(document: Document, along: str, unit: str) -> Document:
    """Adds the unit to a quantity's title, if a refinement folds several columns into that quantity."""
    axis = document["encoding"][along]
    return _merged(document, {"encoding": {along: {"title": f"{axis['title']}, {unit}"}}}) if unit else document


def _colour(answer: Answer, chart: Chart, series: Sequence[str], room: float) -> Document:
    """Returns the colour encoding of bars or lines. Unfinished bars are lighter."""
    lighter = chart.kind == "bar" and answer.has_unfinished
    colours = dict(zip(series, SERIES, strict=False))
    if not chart.color:
        unfinished = {"condition": {"test": f"datum.{UNFINISHED}", "value": TINTS[SERIES[0]]}, "value": SERIES[0]}
        return {"color": unfinished} if lighter else {}
    encoding = {
        "field": chart.color,
        "type": "nominal",
        "scale": {"domain": list(colours), "range": list(colours.values())},
        "legend": _legend(series, room),
    }
    tints = json.dumps({name: TINTS[colour] for name, colour in colours.items()})
    expression = {"expr": f"{tints}[datum[{json.dumps(chart.color)}]]"}
    condition = {"condition": {"test": f"datum.{UNFINISHED}", "value": expression}} if lighter else {}
    return {"color": {**encoding, **condition}}


def _width_of_names(values: Sequence[Document], category: str, period: Period | None) -> float:
    """Returns the approximate width of an axis with names. A period's label has at most eleven letters."""
    longest = len("31 Dec 2024") if period else max(len(str(value[category])) for value in values)
    return min(_NAME_LIMIT, _LETTER * longest) + _GAPS


def _legend(series: Sequence[str], room: float) -> Document:
    """Returns a legend with as many columns as fit."""
    longest = _MARK + _LETTER * max(map(len, series))
    return {"columns": max(1, int(room // longest)), "labelLimit": room - _MARK}


def _time(column: str, period: Period, kind: str) -> Document:
    """Returns the time axis. It labels each bar; for a line, it is to scale, so that gaps show."""
    axis = {"format": period.shown, "labelOverlap": True, "labelSeparation": 8, "labelAngle": 0, "grid": False}
    drawn = "ordinal" if kind == "bar" else "temporal"
    return {"field": column, "title": None, "type": drawn, "timeUnit": period.unit, "axis": axis}


def _names(column: str) -> Document:
    """Returns the axis of names, in the answer's order."""
    axis = {"ticks": False, "domain": False, "labelLimit": _NAME_LIMIT, "labelPadding": 5, "labelColor": INK}
    return {"field": column, "title": None, "type": "nominal", "sort": None, "axis": axis}


def _quantity(answer: Answer, column: str, extent: Extent, width: int) -> Document:
    """Returns a quantity's axis, from zero, with its unit."""
    unit = answer.unit(column)
    return {
        "field": column,
        "type": "quantitative",
        "title": heading(column).capitalize() + (f", {unit}" if unit else ""),
        "axis": {
            "labelExpr": _SHORT_NUMBER,
            "labelFlush": False,
            "labelOverlap": True,
            "labelSeparation": 8,
            "tickCount": 4 if width == NARROW else 6,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
        },
        "scale": {"domain": extent, "nice": True} if extent else {"zero": True},
    }


def _marks(answer: Answer, chart: Chart, values: Sequence[Document]) -> Document:
    """Returns the marks: bars or lines. Lines to and from unfinished periods are dashed."""
    if chart.kind == "bar":
        return {"mark": "bar"}
    line = {"type": "line", "point": True}
    if not answer.has_unfinished:
        return {"mark": line}
    dashed = {"type": "line", "strokeDash": [4, 3], "point": {"opacity": 0.4}}
    return {
        "layer": [
            {"data": {"values": _dashes(values, chart)}, "mark": dashed, "encoding": {"detail": {"field": _DASH}}},
            {"transform": [{"filter": f"!datum.{UNFINISHED}"}], "mark": line},
        ]
    }


def _dashes(values: Sequence[Document], chart: Chart) -> list[Document]:
    """Returns the dashed segments' points: each pair of neighbours with an unfinished one shares a number."""
    lines: dict[Any, list[Document]] = {}
    for value in values:
        lines.setdefault(value.get(chart.color or ""), []).append(value)
    neighbours = [pair for line in lines.values() for pair in pairwise(line if len(line) > 1 else line * 2)]
    pairs = [pair for pair in neighbours if any(end[UNFINISHED] for end in pair)]
    return [{**end, _DASH: number} for number, pair in enumerate(pairs) for end in pair]


def _values(answer: Answer, chart: Chart, category: str, period: Period | None) -> list[Document]:
    """Returns the rows in Vega-Lite's form. Sorts rows of periods by time."""
    values = [
        {**{column: _plain(column, value) for column, value in row.items()}, category: name}
        for row, name in zip(answer.rows, answer.names(chart, category), strict=True)
    ]
    if not period:
        return values
    return sorted(
        ({**value, category: period.begins(value[category])} for value in values), key=lambda value: value[category]
    )


def _plain(column: str, value: object) -> Any:
    match value:
        case None | bool() | int():
            return value
        case Decimal():
            return float(value)
        case date():
            return value.isoformat()
    return cell(column, value).plain


def _merged(document: Mapping[str, Any], other: Mapping[str, Any]) -> Document:
    """Merges a document's fields into another document, at any depth."""
    merged = dict(document)
    for name, value in other.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def _svg(document: Document, chart: Chart) -> str:
    drawn: str = _rendered("vegalite_to_svg", document, chart)
    return drawn.replace('class="marks"', f'class="{CLASS}"', 1)


def _rendered(function: str, document: Document, chart: Chart, **options: Any) -> Any:
    import vl_convert

    try:
        return getattr(vl_convert, function)(
            {**document, "config": CONFIG}, vl_version=_VERSION, allowed_base_urls=[], **options
        )
    except ValueError as error:
        raise chart.invalid(f"Vega-Lite can't draw it: {' '.join(str(error).splitlines()[1:2])}.") from None
