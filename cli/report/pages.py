"""Makes the pages of a report, and the one of a single answer, from templates. Each is one file that needs no other."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cli.answers import Answer
from cli.charts.theme import dark_rules
from cli.charts.vega import NOT_OVER, panel_svgs
from cli.render.terminal import ago, heading, shown, took

# So many rows of an answer are on a page; its CSV has all.
ROWS_SHOWN = 200
_HERE = Path(__file__).parent
TEMPLATES = _HERE / "templates"
_THEME = _HERE.parents[1] / "web" / "static" / "theme.css"
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_CODE = re.compile(r"`([^`]+)`")


def answer_page(found: Answer) -> str:
    """Returns a page with an answer's chart, table and assumptions, which needs neither a network nor a script."""
    return page("answer.html", found=found, charts=charts_of(found))


def charts_of(found: Answer) -> list[tuple[str, Markup]]:
    """Returns a chart for each panel, as (label, SVG); none if the question has no chart, or its answer no rows."""
    if not found.rows or found.chart is None:
        return []
    # Vega-Lite escapes what is in data.
    return [(label, Markup(drawn)) for label, drawn in panel_svgs(found)]  # noqa: S704  # nosec B704


def page(template: str, **given: Any) -> str:
    """Returns a page made from a template. What is not marked as HTML is escaped."""
    return _environment().get_template(template).render(**given)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ago=ago,
        code=_code,
        dates=dates,
        heading=heading,
        shown=shown,
        took=took,
    )
    sheets = (_THEME.read_text(encoding="utf-8"), (_HERE / "report.css").read_text(encoding="utf-8"), dark_rules())
    # They are ours, and within <style> nothing is unescaped.
    style = Markup("\n".join(sheets))  # noqa: S704  # nosec B704
    search = Markup((_HERE / "search.js").read_text(encoding="utf-8"))  # noqa: S704  # nosec B704
    environment.globals.update(limit=ROWS_SHOWN, not_over=NOT_OVER, style=style, search=search)
    return environment


def dates(text: str) -> Markup:
    """Returns a text in which no line ends within a date."""
    return Markup(_DATE.sub(r'<span class="date">\g<0></span>', str(escape(text))))  # noqa: S704  # nosec B704


def _code(text: str) -> Markup:
    """Returns a text whose parts in backticks are code, as in Markdown."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # nosec B704
