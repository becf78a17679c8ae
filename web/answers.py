"""Answers the business's questions. Draws each chart once per batch."""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from cli.answers import Answer, answer
from cli.deployment import warehouse
from cli.questions import Question
from cli.report.pages import charts_of

if TYPE_CHECKING:
    from totes.runtime.names import Names

Charts = Sequence[tuple[str, Markup]]


class Answers:
    """Queries a stage's warehouse. Thread-safe: one query at a time."""

    def __init__(self, names: "Names") -> None:
        self._names = names
        self._lock = threading.Lock()
        self._batch = 0
        self._charts: dict[str, Charts] = {}

    def ask(self, question: Question, given: Mapping[str, str]) -> tuple[Answer, Charts]:
        """Returns the answer, and a chart for each panel as (label, SVG).

        Raises:
            Misused: a parameter is missing or of the wrong type.
            WarehouseEmpty, WarehouseUnreachable: the warehouse has no batch, or the connection failed.
        """
        with self._lock:
            with warehouse(self._names) as connection:
                found = answer(connection, question, given)
            return found, charts_of(found) if given else self._kept(found)

    def _kept(self, found: Answer) -> Charts:
        """Returns an answer's charts. Keeps the last batch's charts, because drawing takes almost a second."""
        if found.batch != self._batch:
            self._batch, self._charts = found.batch, {}
        name = found.question.name
        if name not in self._charts:
            self._charts[name] = charts_of(found)
        return self._charts[name]
