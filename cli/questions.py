"""The business's questions: the .sql files in queries/, each with its header.

The header is a comment block up to the first empty line. Its first line is the question in one sentence. Its paragraphs
are `Answers: …`, `Assumes: …` and, of a question that has a chart, `Chart: …` (cli.charts.declaration). A parameter has
a paragraph `Parameter :name (required): …` or `Parameter :name (optional): …`. An optional one is NULL when it is left
out, and the query says what that means. If an answer without rows is an error, a paragraph `No rows: …` says why; in it
`:name` is a parameter's value, `:first_snapshot` the first batch's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.charts.declaration import Chart, QuestionInvalid, read_chart
from cli.errors import CommandFailed, Misused, no_such
from cli.render.terminal import cell

if TYPE_CHECKING:
    from totes.postgres.driver import PipelineConnection

FOLDER = Path(__file__).parent.parent / "queries"

_PARAMETER = re.compile(r"Parameter :(\w+) \((required|optional)\): (.+)")
_KEYWORDS = ("Answers", "Assumes", "Chart", "No rows")
_FIRST_SNAPSHOT = "SELECT min(snapshot_at) FROM etl.batch"


@dataclass(frozen=True)
class Parameter:
    """What a query may or must be told."""

    name: str
    required: bool
    meaning: str


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        sentence: the question in one sentence.
        answers, assumes: what an answer has, and under which assumptions.
        sql: its statement.
        no_rows: why an answer without rows is an error; empty if it is none.
        declared_chart: the paragraph `Chart:`; empty if there is none.
        place: the file and line of that paragraph, or of the header.
    """

    path: Path
    sentence: str
    parameters: tuple[Parameter, ...]
    sql: str
    answers: str = ""
    assumes: str = ""
    no_rows: str = ""
    declared_chart: str = ""
    chart_line: int = 1

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def chart(self) -> Chart | None:
        """Returns its chart; None if it declares none.

        Raises:
            QuestionInvalid: the declaration is malformed.
        """
        return read_chart(self.path, self.chart_line, self.declared_chart) if self.declared_chart else None

    def ask(
        self, connection: "PipelineConnection", given: Mapping[str, str]
    ) -> tuple[Sequence[str], list[dict[str, Any]]]:
        """The columns and the rows of the answer.

        Raises:
            Misused: a parameter is missing, unknown, or of the wrong type.
            CommandFailed: there are no rows, and the question says why.
        """
        import pg8000.dbapi

        try:
            result = connection.execute(self.sql, self.bound(given))
        except pg8000.dbapi.DatabaseError as error:
            said = error.args[0]
            # SQLSTATE class 42 is a mistake in the statement. Class 22 is data exception: here it can only be a
            # parameter that does not parse.
            kind = str(said.get("C", ""))[:2]
            if kind == "42":
                raise QuestionInvalid(self.path, self._line_at(int(said.get("P", 1))), f"{said['M']}.") from None
            if kind != "22":
                raise
            raise Misused(f"{self.name}: {said['M']}.") from None
        except UnicodeEncodeError:
            raise Misused(f"{self.name}: a parameter is not UTF-8.") from None
        columns, rows = result.columns, result.mappings()
        if not rows and self.no_rows:
            raise CommandFailed(self._why_no_rows(connection, given))
        return columns, rows

    def _line_at(self, position: int) -> int:
        """Returns the line of its file on which a character of its statement is. Bound parameters change no line."""
        header = self.path.read_text(encoding="utf-8").partition("\n\n")[0]
        return header.count("\n") + 3 + self.sql[: position - 1].count("\n")

    def _why_no_rows(self, connection: "PipelineConnection", given: Mapping[str, str]) -> str:
        first = connection.execute(_FIRST_SNAPSHOT).scalar()
        values = {**given, "first_snapshot": cell("", first).plain}
        return re.sub(r":(\w+)", lambda named: values.get(named[1], named[0]), self.no_rows)

    def bound(self, given: Mapping[str, str]) -> dict[str, str | None]:
        """A value for each parameter, None for an optional one that is not given."""
        known = [parameter.name for parameter in self.parameters]
        if unknown := sorted(set(given) - set(known)):
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise Misused(f"{self.name} has no parameter {', '.join(unknown)}: {takes}.")
        for parameter in self.parameters:
            if parameter.required and parameter.name not in given:
                raise Misused(f"{self.name} needs --param {parameter.name}=…: {parameter.meaning}")
        return {name: given.get(name) for name in known}


def all_questions() -> dict[str, Question]:
    """Every question by its name, in alphabetical order."""
    return {path.stem: read_question(path) for path in sorted(FOLDER.glob("*.sql"))}


def find_question(name: str) -> Question:
    """The question of that name.

    Raises:
        Misused: there is none.
    """
    questions = all_questions()
    if name not in questions:
        raise Misused(no_such("query", name, questions))
    return questions[name]


def read_question(path: Path) -> Question:
    """A question from its file.

    Raises:
        QuestionInvalid: no empty line ends the header, or its lines are no comments.
    """
    header, end, sql = path.read_text(encoding="utf-8").partition("\n\n")
    if not end:
        raise QuestionInvalid(path, 1, "has no header: comments, then an empty line, then the SQL.")
    (_, sentence), *paragraphs = _paragraphs(path, header)
    said = {keyword: (line, text) for line, text in paragraphs for keyword, text in [_keyword(text)]}
    matches = [match for _, paragraph in paragraphs if (match := _PARAMETER.fullmatch(paragraph))]
    chart_line, declared_chart = said.get("Chart", (1, ""))
    return Question(
        path=path,
        sentence=sentence,
        parameters=tuple(Parameter(match[1], match[2] == "required", match[3]) for match in matches),
        sql=sql,
        answers=said.get("Answers", (0, ""))[1],
        assumes=said.get("Assumes", (0, ""))[1],
        no_rows=said.get("No rows", (0, ""))[1],
        declared_chart=declared_chart,
        chart_line=chart_line,
    )


def _paragraphs(path: Path, header: str) -> list[tuple[int, str]]:
    """Returns the header's paragraphs, each with the line on which it begins."""
    found: list[tuple[int, str]] = []
    for number, line in enumerate(header.splitlines(), start=1):
        if not line.startswith("--"):
            raise QuestionInvalid(path, number, "is no comment. An empty line ends the header.")
        if line.startswith("--   ") and found:
            began, text = found[-1]
            found[-1] = (began, f"{text} {line[5:]}")
        else:
            found.append((number, line[3:]))
    return found


def _keyword(paragraph: str) -> tuple[str, str]:
    keyword, colon, text = paragraph.partition(": ")
    return (keyword, text) if colon and keyword in _KEYWORDS else ("", paragraph)
