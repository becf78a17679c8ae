"""The charts' colours, for light and dark mode.

Colour-blind readers can distinguish the series. The first four colours are by Okabe and Ito;
tests/unit/cli/charts/test_theme.py measures them all. Each series has another colour in dark mode, because few colours
stand out from both white and black.

A chart is drawn in light colours. In an SVG, a style sheet replaces them for readers who prefer dark mode. Its rules
select elements by their colour attributes, so programs that ignore style sheets show the light colours.
"""

from typing import Any

INK, SOFT, LINE, SHEET = "#1d2329", "#5b6570", "#d9dee3", "#ffffff"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7700ee", "#553322", "#112266", "#110011")
_SERIES_DARK = ("#56b4e9", "#e69f00", "#009e73", "#e5a3c6", "#7744ee", "#886622", "#bb2299", "#ffffcc")
_SHEET_DARK = "#171c22"


def _tint(colour: str, ground: str) -> str:
    """Returns a colour mixed with the background. Real transparency would let grid lines show through."""
    mixed = (
        round(0.4 * int(colour[at : at + 2], 16) + 0.6 * int(ground[at : at + 2], 16))
        for at in range(1, len(colour), 2)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


# The colours of unfinished periods, by their series' colour.
TINTS = {colour: _tint(colour, SHEET) for colour in SERIES}
DARK = {
    INK: "#e4e8ec",
    SOFT: "#9aa5b1",
    LINE: "#2b333c",
    SHEET: _SHEET_DARK,
    **dict(zip(SERIES, _SERIES_DARK, strict=True)),
    **{TINTS[light]: _tint(dark, _SHEET_DARK) for light, dark in zip(SERIES, _SERIES_DARK, strict=True)},
}
# Liberation Sans is as wide as Arial, which browsers use if it is not installed.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
CLASS = "totes-chart"

CONFIG: dict[str, Any] = {
    "aria": False,
    "font": FONT,
    "background": SHEET,
    "view": {"stroke": None},
    "range": {"category": list(SERIES)},
    "axis": {
        "domainColor": LINE,
        "gridColor": LINE,
        "tickColor": LINE,
        "labelColor": SOFT,
        "titleColor": SOFT,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
    },
    "legend": {"labelColor": INK, "titleColor": SOFT, "labelFontSize": 11, "orient": "top", "title": None},
    "title": {"color": INK, "subtitleColor": SOFT, "anchor": "start", "fontSize": 13, "subtitleFontSize": 11},
    "bar": {"color": SERIES[0]},
    "line": {"color": SERIES[0], "strokeWidth": 1.8},
    "point": {"color": SERIES[0], "filled": True, "size": 22},
}


def dark_rules() -> str:
    """Returns the style sheet for readers who prefer dark mode. Printed charts stay light."""
    rules = "".join(
        f'.{CLASS} [{attribute}="{light}"]{{{attribute}:{dark}}}'
        for light, dark in DARK.items()
        for attribute in ("fill", "stroke")
    )
    return f"@media screen and (prefers-color-scheme:dark){{{rules}}}"
