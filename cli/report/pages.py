"""Renders a report's pages, and a single answer's page, from templates. Each page is self-contained."""

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

# A page shows at most this many rows of an answer; the CSV has all.
ROWS_SHOWN = 200
_HERE = Path(__file__).parent
TEMPLATES = _HERE / "templates"
_THEME = _HERE.parents[1] / "web" / "static" / "theme.css"
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_CODE = re.compile(r"`([^`]+)`")


def answer_page(found: Answer) -> str:
    """Returns a page with an answer's chart, table and assumptions. It needs no network and no script."""
    return page("answer.html", found=found, charts=charts_of(found))


def charts_of(found: Answer) -> list[tuple[str, Markup]]:
    """Returns a chart for each panel, as (label, SVG); none if there is no chart or there are no rows."""
    if not found.rows or found.chart is None:
        return []
    # Safe, because Vega-Lite escapes the data.
    return [(label, Markup(drawn)) for label, drawn in panel_svgs(found)]  # noqa: S704  # nosec B704


def page(template: str, **given: Any) -> str:
    """Renders a template. Escapes every value that is not marked as HTML."""
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
    # Safe, because these are the project's own files. HTML has no escapes within <style>.
    style = Markup("\n".join(sheets))  # noqa: S704  # nosec B704
    search = Markup((_HERE / "search.js").read_text(encoding="utf-8"))  # noqa: S704  # nosec B704
    environment.globals.update(limit=ROWS_SHOWN, not_over=NOT_OVER, style=style, search=search)
    return environment


def dates(text: str) -> Markup:
    """Returns a text whose dates are never broken across lines."""
    return Markup(_DATE.sub(r'<span class="date">\g<0></span>', str(escape(text))))  # noqa: S704  # nosec B704


def _code(text: str) -> Markup:
    """Returns a text with the parts in backticks as code, as in Markdown."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # nosec B704
