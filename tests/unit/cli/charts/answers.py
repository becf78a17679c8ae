"""Makes answers without a warehouse."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from cli.answers import Answer
from cli.charts.declaration import read_chart
from cli.questions import Question
from cli.render.terminal import Row
from cli.statement import read_statement

SNAPSHOT = datetime(2024, 11, 15, 14, 9, tzinfo=UTC)


def answer_of(rows: Sequence[Row], chart: str = "", folder: Path = Path("queries")) -> Answer:
    path, sql = folder / "asked.sql", "SELECT 1"
    declared = read_chart(path, 4, chart) if chart else None
    statement = read_statement(path, 6, sql, ())
    question = Question(path, "What is asked?", (), sql, statement, declared_chart=chart, chart=declared)
    return Answer(question, list(rows[0]) if rows else [], rows, 7, SNAPSHOT)


def monthly(*currencies: str, months: int = 3) -> list[Row]:
    """Returns revenue of this many months, the last one unfinished."""
    return [
        {
            "currency_code": currency,
            "month": f"2024-{month:02d}",
            "unfinished": month == months,
            "orders": month,
            "revenue": Decimal(month * 1_000_000),
        }
        for currency in currencies
        for month in range(1, months + 1)
    ]
