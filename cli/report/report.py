"""Renders a report's files: the answers, the data dictionary and the pipeline's state, for a browser."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cli.answers import Answer
from cli.charts.declaration import QuestionInvalid
from cli.dictionary import described_log, described_source, described_warehouse, lineage, references
from cli.progress import PROMISE
from cli.render.terminal import csv_text
from cli.report.drawing import draw
from cli.report.gather import Findings, Unanswered
from cli.report.pages import charts_of, page
from totes.contracts.declarations import source_tables, warehouse_tables


@dataclass(frozen=True)
class Shown:
    """A question's answer and its charts.

    Attributes:
        charts: one for each panel, as (label, SVG); empty if there is no chart.
        whole: all panels as one SVG; empty if there is no chart.
    """

    found: Answer | Unanswered
    charts: Sequence[tuple[str, Markup]] = ()
    whole: str = ""


def drawn(found: Answer | Unanswered) -> Shown:
    """Draws an answer's charts, if it has any. Returns an answer that can't be drawn as Unanswered."""
    from cli.charts.vega import svg

    if isinstance(found, Unanswered) or not found.rows:
        return Shown(found)
    try:
        return Shown(found, charts_of(found), svg(found)) if found.chart else Shown(found)
    except QuestionInvalid as error:
        return Shown(Unanswered.of(found.question, error.message))


def report_files(findings: Findings, answers: Sequence[Shown]) -> dict[str, bytes]:
    """Returns the files by relative path: two pages, and each answer's CSV and SVG."""
    answered = {shown.found.name: shown.found for shown in answers if isinstance(shown.found, Answer)}
    texts = {
        "index.html": _index(findings, answers),
        "dictionary.html": _dictionary(findings),
        **{f"answers/{name}.csv": csv_text(found.columns, found.rows) for name, found in answered.items()},
        **{f"charts/{shown.found.name}.svg": shown.whole for shown in answers if shown.whole},
    }
    return {name: text.encode() for name, text in texts.items()}


def _index(findings: Findings, answers: Sequence[Shown]) -> str:
    tables = list(warehouse_tables())
    days: Sequence[dict[str, Any]] = [
        {"day": day, **{table: rows.get(table, 0) for table in tables}} for day, rows in findings.rows_by_day.items()
    ]
    return page("index.html", findings=findings, answers=answers, tables=tables, days=days, promise=PROMISE)


def _dictionary(findings: Findings) -> str:
    warehouse = warehouse_tables()
    stars = [(fact, dimension) for fact, dimension in references(warehouse)]
    facts = [name for name, table in warehouse.items() if table.is_fact]
    return page(
        "dictionary.html",
        findings=findings,
        sections=(
            ("warehouse", "The warehouse", described_warehouse()),
            ("log", "The log of the warehouse", described_log()),
            ("totesys", "totesys and the landing zone", described_source()),
        ),
        stars=draw(facts, [name for name in warehouse if name not in facts], stars),
        lineage=draw(list(source_tables()), list(warehouse), lineage()),
        facts=facts,
    )
