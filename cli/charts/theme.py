"""The colours of charts, in light and dark.

Series have those of Okabe and Ito, which colour-blind people can tell apart; in dark the lighter ones of each hue.
A chart is drawn in light colours. In an SVG a style sheet replaces them for readers who prefer dark: its rules name the
very attributes, so that what knows no style sheets shows the light ones.
"""

from typing import Any

INK, SOFT, LINE, SHEET = "#1d2329", "#5b6570", "#d9dee3", "#ffffff"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
DARK = {
    INK: "#e4e8ec",
    SOFT: "#9aa5b1",
    LINE: "#2b333c",
    SHEET: "#171c22",
    **dict(zip(SERIES, ("#56b4e9", "#e69f00", "#2bb98f", "#e5a3c6"), strict=True)),
}
# As wide as Arial, which a browser takes where this one is not installed; both are told here.
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
    """Returns the style sheet that makes charts dark for readers who prefer that. Paper stays light."""
    rules = "".join(
        f'.{CLASS} [{attribute}="{light}"]{{{attribute}:{dark}}}'
        for light, dark in DARK.items()
        for attribute in ("fill", "stroke")
    )
    return f"@media screen and (prefers-color-scheme:dark){{{rules}}}"
