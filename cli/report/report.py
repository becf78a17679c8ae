"""A report: what the warehouse answers, what is in it and how it is run, as a folder of files for a browser."""

from collections.abc import Iterator, Sequence
from typing import Any

from cli.answers import Answer
from cli.dictionary import described_log, described_source, described_warehouse, lineage, references
from cli.progress import PROMISE
from cli.render.terminal import csv_text
from cli.report.drawing import draw
from cli.report.gather import Findings
from cli.report.pages import charts_of, page
from totes.contracts.declarations import source_tables, warehouse_tables


def report_files(findings: Findings) -> dict[str, bytes]:
    """Returns the files by their paths in the folder: two pages, and a CSV and an SVG of each answer.

    Raises:
        QuestionInvalid: a chart does not fit its answer.
    """
    answered = [found for found in findings.answers if isinstance(found, Answer)]
    texts = {
        "index.html": _index(findings),
        "dictionary.html": _dictionary(findings),
        **{f"answers/{found.question.name}.csv": csv_text(found.columns, found.rows) for found in answered},
        **{f"charts/{found.question.name}.svg": drawn for found in answered for drawn in _chart(found)},
    }
    return {name: text.encode() for name, text in texts.items()}


def _chart(found: Answer) -> Iterator[str]:
    from cli.charts.vega import svg

    if found.rows and found.chart:
        yield svg(found)


def _index(findings: Findings) -> str:
    answers = [(found, charts_of(found) if isinstance(found, Answer) else []) for found in findings.answers]
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
