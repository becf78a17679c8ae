"""Gathers what a report shows: all answers, the three logs, the rows that came by day, and the last executions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from cli.answers import Answer, answer
from cli.deployment import warehouse
from cli.errors import CommandFailed
from cli.progress import Freshness, LogHead, freshness, last_success, read_logs
from cli.questions import Question, all_questions
from totes.alerts.executions import Execution, latest

if TYPE_CHECKING:
    from totes.postgres.driver import PipelineConnection
    from totes.runtime.names import Names

LAST_EXECUTIONS = 10
LAST_DAYS = 14
_BY_DAY = """
SELECT CAST(batch.loaded_at AT TIME ZONE 'UTC' AS date) AS day,
    batch_table.table_name,
    SUM(batch_table.rows_inserted + batch_table.rows_updated + batch_table.rows_deleted) AS rows
FROM etl.batch AS batch
INNER JOIN etl.batch_table AS batch_table USING (batch_id)
GROUP BY 1, 2
ORDER BY 1 DESC, 2
"""


@dataclass(frozen=True)
class Unanswered:
    """A question that a report can't answer, and why."""

    question: Question
    why: str


@dataclass(frozen=True)
class Findings:
    """What a report shows, as it is at `made_at`.

    Attributes:
        rows_by_day: the rows that came, by day and table, the newest day first.
    """

    names: "Names"
    made_at: datetime
    answers: Sequence[Answer | Unanswered]
    logs: Sequence[LogHead]
    freshness: Freshness
    rows_by_day: dict[date, dict[str, int]]
    executions: Sequence[Execution]


def gather(names: "Names") -> Findings:
    """Reads it all; the answers are of one moment.

    Raises:
        WarehouseEmpty: nothing has ever been loaded.
        QuestionInvalid: a question is malformed.
        TotesError: the warehouse or the lake can't be read.
    """
    with warehouse(names) as connection:
        answers = list(_answers(connection))
        rows_by_day = _rows_by_day(connection)
    logs = read_logs(names)
    now = datetime.now(UTC)
    fresh = freshness(logs, last_success(names), now)
    return Findings(names, now, answers, logs, fresh, rows_by_day, latest(names, LAST_EXECUTIONS))


def _answers(connection: "PipelineConnection") -> Iterator[Answer | Unanswered]:
    for question in all_questions().values():
        if needed := [parameter for parameter in question.parameters if parameter.required]:
            options = " ".join(f"--param {parameter.name}=…" for parameter in needed)
            yield Unanswered(question, f"It needs a parameter: `totes query {question.name} {options}`")
            continue
        try:
            found = answer(connection, question, {})
        except CommandFailed as error:
            yield Unanswered(question, error.message)
        else:
            yield found


def _rows_by_day(connection: "PipelineConnection") -> dict[date, dict[str, int]]:
    days: dict[date, dict[str, int]] = {}
    for row in connection.execute(_BY_DAY):
        days.setdefault(row.day, {})[row.table_name] = int(row.rows)
    return dict(list(days.items())[:LAST_DAYS])
