"""Charts of answers: Vega-Lite, rendered on this machine by vl-convert, without a network or a browser.

vl-convert is imported when something is drawn, for it takes a second.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from cli.answers import UNFINISHED, Answer
from cli.charts.declaration import CURRENCY, Chart
from cli.charts.theme import CLASS, CONFIG, INK, dark_rules
from cli.errors import CommandFailed
from cli.render.terminal import Row, cell, heading

# In pixels: what a phone of 390 leaves, and what a file has.
NARROW, WIDE = 340, 640
NOT_OVER = "Lighter or dashed: not over yet, so more may come."
_VERSION = "6.4"
_HEIGHT, _STEP = 150, 19
_SHORT_NUMBER = "replace(format(datum.value, '~s'), 'G', 'bn')"

Document = dict[str, Any]
Extent = tuple[float, float] | None


@dataclass(frozen=True)
class _Period:
    """A kind of time on an axis.

    Attributes:
        pattern: what its texts look like. A month's or a quarter's have the year, and its number in it.
        unit: of Vega-Lite.
        shown: how the axis shows it.
        months: how many a month or a quarter has.
    """

    pattern: re.Pattern[str]
    unit: str
    shown: str
    months: int = 1

    def begins(self, text: str) -> str:
        """Returns the first day of a period."""
        found = self.pattern.fullmatch(text)
        if not found or not found.groups():
            return text
        return f"{found[1]}-{(int(found[2]) - 1) * self.months + 1:02d}-01"


_PERIODS = (
    _Period(re.compile(r"(\d{4})-(\d\d)"), "utcyearmonth", "%b %Y"),
    _Period(re.compile(r"(\d{4}) Q([1-4])"), "utcyearquarter", "%Y Q%q", months=3),
    _Period(re.compile(r"\d{4}-\d\d-\d\d"), "utcyearmonthdate", "%d %b %Y"),
)


def panel_svgs(answer: Answer) -> list[tuple[str, str]]:
    """Returns a narrow chart for each panel, as (label, SVG), for pages that put them side by side.

    They have no style of their own: the page has cli.charts.theme.dark_rules.

    Raises:
        CommandFailed: the question has no chart, or its answer no rows.
        QuestionInvalid: its chart does not fit the answer.
    """
    chart = _chart(answer)
    extent = _extent(answer, chart)
    narrow = {"width": NARROW, "autosize": {"type": "fit-x", "contains": "padding"}}
    return [
        (panel.label(chart), _svg({**narrow, **_panel(panel, chart, extent)}, chart)) for panel in answer.panels(chart)
    ]


def svg(answer: Answer) -> str:
    """Returns the whole chart as one SVG, light and dark. Raises as panel_svgs does."""
    chart = _chart(answer)
    return _svg(whole(answer, chart), chart).replace(">", f"><style>{dark_rules()}</style>", 1)


def png(answer: Answer) -> bytes:
    """Returns the whole chart as a picture with two pixels for each, light. Raises as panel_svgs does."""
    chart = _chart(answer)
    picture: bytes = _rendered("vegalite_to_png", whole(answer, chart), chart, scale=2)
    return picture


def whole(answer: Answer, chart: Chart) -> Document:
    """Returns the specification of all panels below each other, under the question."""
    extent = _extent(answer, chart)
    panels = [{"width": WIDE, **_panel(panel, chart, extent, panel.label(chart))} for panel in answer.panels(chart)]
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
    """Returns the one scale of all panels; None if each has its own, because of currencies or of stacked bars."""
    if CURRENCY in chart.row or chart.color or chart.refinement:
        return None
    _, quantity = answer.axes(chart)
    return answer.extent(quantity)


def _panel(answer: Answer, chart: Chart, extent: Extent, title: str = "") -> Document:
    category, quantity = answer.axes(chart)
    period = _period(answer, category)
    across, along = ("x", "y") if quantity == chart.y else ("y", "x")
    encoding = {
        across: _time(category, period, chart.kind) if period else _names(category),
        along: _quantity(answer, quantity, extent),
    }
    if chart.color:
        encoding["color"] = {"field": chart.color, "type": "nominal", "sort": None}
    document = {
        "data": {"values": _values(answer.rows, chart, category, period)},
        "height": _HEIGHT if across == "x" else {"step": _STEP},
        "encoding": encoding,
        **_marks(answer, chart, category),
        **({"title": {"text": title, "fontSize": 12, "offset": 6}} if title else {}),
    }
    return _merged(document, chart.refinement)


def _period(answer: Answer, column: str) -> _Period | None:
    """Returns the kind of time that a column has; None if it has names."""
    texts = [str(row[column]) for row in answer.rows]
    return next((period for period in _PERIODS if all(map(period.pattern.fullmatch, texts))), None)


def _time(column: str, period: _Period, kind: str) -> Document:
    """Returns the axis of time. A bar has its label below it; a line is drawn to scale, so that a gap shows."""
    axis = {"format": period.shown, "labelOverlap": True, "labelSeparation": 8, "labelAngle": 0, "grid": False}
    drawn = "ordinal" if kind == "bar" else "temporal"
    return {"field": column, "title": None, "type": drawn, "timeUnit": period.unit, "axis": axis}


def _names(column: str) -> Document:
    """Returns the axis of what is compared by name, in the answer's order."""
    axis = {"ticks": False, "domain": False, "labelLimit": 150, "labelPadding": 5, "labelColor": INK}
    return {"field": column, "title": None, "type": "nominal", "sort": None, "axis": axis}


def _quantity(answer: Answer, column: str, extent: Extent) -> Document:
    """Returns the axis of a number, from zero, with its unit."""
    unit = answer.unit(column)
    return {
        "field": column,
        "type": "quantitative",
        "title": heading(column).capitalize() + (f", {unit}" if unit else ""),
        "axis": {"labelExpr": _SHORT_NUMBER, "tickCount": 5, "domain": False, "ticks": False, "labelPadding": 6},
        "scale": {"domain": extent, "nice": True} if extent else {"zero": True},
    }


def _marks(answer: Answer, chart: Chart, category: str) -> Document:
    """Returns bars or lines. A bar that is unfinished is lighter, and the line to it dashed."""
    unfinished = f"datum.{UNFINISHED}"
    if chart.kind == "bar":
        lighter = {"expr": f"{unfinished} ? 0.4 : 1"}
        return {"mark": {"type": "bar", "opacity": lighter}}
    if not answer.has_unfinished:
        return {"mark": {"type": "line", "point": True}}
    # The dashed line begins at the last point that is finished.
    ahead = {"window": [{"op": "lead", "field": UNFINISHED, "as": "_ahead"}], "sort": [{"field": category}]}
    dashed = {"type": "line", "strokeDash": [4, 3], "point": {"opacity": 0.4}}
    return {
        "transform": [ahead],
        "layer": [
            {"transform": [{"filter": f"{unfinished} || datum._ahead"}], "mark": dashed},
            {"transform": [{"filter": f"!{unfinished}"}], "mark": {"type": "line", "point": True}},
        ],
    }


def _values(rows: Sequence[Row], chart: Chart, category: str, period: _Period | None) -> list[Document]:
    """Returns the rows as Vega-Lite reads them. Things of one name are numbered, or their bars would be added up."""
    seen: Counter[tuple[Any, ...]] = Counter()
    values = []
    for row in rows:
        shown = {column: _plain(column, value) for column, value in row.items()}
        name = period.begins(str(row[category])) if period else cell(category, row[category]).plain
        key = (name, row.get(chart.color or ""))
        seen[key] += 1
        if seen[key] > 1 and period:
            raise chart.invalid(f"a panel has several rows for {category} {row[category]}: add a column to row.")
        values.append({**shown, category: f"{name} ({seen[key]})" if seen[key] > 1 else name})
    return values


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
    """Returns a document with the fields of another one in it, at any depth."""
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
