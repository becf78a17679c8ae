"""Gathers a report's data: all answers, the three logs, the rows loaded by day, and the last executions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from cli.answers import Answer, answer
from cli.deployment import warehouse
from cli.errors import CommandFailed, Misused, one_line
from cli.progress import Freshness, LogHead, freshness, last_success, read_logs
from cli.questions import Question, all_questions, broken_questions
from totes.alerts.executions import Execution, latest
from totes.errors import TotesError
from totes.postgres.connection import WAREHOUSE
from totes.postgres.server_errors import database_errors

if TYPE_CHECKING:
    from totes.postgres.driver import PipelineConnection
    from totes.runtime.names import Names
    from totes.verify.reconcile.table import Seen

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
    """A question without an answer in the report, and the reason.

    Attributes:
        sentence, answers: from the question's header, if it could be read.
        failed: True after an error; False if the question needs a parameter.
    """

    name: str
    why: str
    sentence: str = ""
    answers: str = ""
    failed: bool = True

    @classmethod
    def of(cls, question: Question, why: str, failed: bool = True) -> "Unanswered":
        return cls(question.name, why, question.sentence, question.answers, failed)


@dataclass(frozen=True)
class Findings:
    """A report's data at `made_at`.

    Attributes:
        rows_by_day: the number of loaded rows by day and table, newest day first.
    """

    names: "Names"
    made_at: datetime
    answers: Sequence[Answer | Unanswered]
    logs: Sequence[LogHead]
    freshness: Freshness
    rows_by_day: dict[date, dict[str, int]]
    executions: Sequence[Execution]


def gather(names: "Names", seen: "Seen" = lambda _: None) -> Findings:
    """Reads a report's data. All answers come from one snapshot; if a question fails, the others are still answered.

    Args:
        seen: called with each step's name.

    Raises:
        WarehouseEmpty: no batch has been loaded yet.
        TotesError: the warehouse or the lake can't be read.
    """
    with warehouse(names) as connection:
        answers = list(_answers(connection, seen))
        rows_by_day = _rows_by_day(connection)
    seen("reading the logs")
    logs = read_logs(names)
    now = datetime.now(UTC)
    fresh = freshness(logs, last_success(names), now)
    return Findings(names, now, answers, logs, fresh, rows_by_day, latest(names, LAST_EXECUTIONS))


def _answers(connection: "PipelineConnection", seen: "Seen") -> Iterator[Answer | Unanswered]:
    for question in all_questions().values():
        if needed := [parameter for parameter in question.parameters if parameter.required]:
            options = " ".join(f"--param {parameter.name}=…" for parameter in needed)
            why = f"It needs a parameter: `totes query {question.name} {options}`"
            yield Unanswered.of(question, why, failed=False)
            continue
        seen(f"asking {question.name}")
        try:
            # Without the savepoint, a failing statement would end the transaction and thus the snapshot.
            with connection.savepoint(), database_errors(WAREHOUSE):
                found = answer(connection, question, {})
        except (CommandFailed, Misused, TotesError) as error:
            why = one_line(error)
            yield Unanswered.of(question, why if why.startswith(question.file) else f"{question.file}: {why}")
        else:
            yield found
    yield from (Unanswered(name, error.message) for name, error in broken_questions().items())


def _rows_by_day(connection: "PipelineConnection") -> dict[date, dict[str, int]]:
    days: dict[date, dict[str, int]] = {}
    for row in connection.execute(_BY_DAY):
        days.setdefault(row.day, {})[row.table_name] = int(row.rows)
    return dict(list(days.items())[:LAST_DAYS])
