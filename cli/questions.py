"""Reads the business's questions: the .sql files in queries/, each with a header.

The header is a comment block that ends at the first empty line. Its first line states the question in one sentence.
These paragraphs may follow:

- `Answers: …` and `Assumes: …`.
- `Chart: …`, if the question has a chart (cli.charts.declaration).
- `Parameter :name (required): …` or `Parameter :name (optional): …`. An optional parameter that is left out is NULL;
  the query decides what NULL means.
- `No rows: …`, if an answer without rows is an error: the error's message. In it, `:name` stands for a parameter's
  value, and `:first_snapshot` for the first batch's snapshot.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.charts.declaration import Chart, QuestionInvalid, read_chart
from cli.errors import CommandFailed, Misused, no_such
from cli.render.terminal import cell
from cli.statement import Statement, read_statement

if TYPE_CHECKING:
    from totes.postgres.driver import PipelineConnection

FOLDER = Path(__file__).parent.parent / "queries"

_PARAGRAPH = re.compile(
    r"(Answers|Assumes|Chart|No rows|Parameter :(?P<name>\w+) \((?P<need>required|optional)\)): *(?P<text>.+)"
)
_PARAGRAPHS = "Answers: …, Assumes: …, Chart: …, No rows: …, Parameter :name (required or optional): …"
_FIRST_SNAPSHOT = "SELECT min(snapshot_at) FROM etl.batch"
# Classes and codes of SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
_MISTAKE, _VALUE = "42", "22"
_WRITES, _STOPPED = "25006", "57014"


@dataclass(frozen=True)
class Parameter:
    """A query's parameter."""

    name: str
    required: bool
    meaning: str


@dataclass(frozen=True)
class Question:
    """A question.

    Attributes:
        sentence: the question in one sentence.
        sql: the statement as written in the file.
        statement: the statement as sent to the server.
        answers, assumes: the answer's contents and its assumptions.
        no_rows: the error's message if an answer without rows is an error; else empty.
        declared_chart: the text of the paragraph `Chart:`; empty if the header has none.
        chart: the parsed paragraph `Chart:`.
    """

    path: Path
    sentence: str
    parameters: tuple[Parameter, ...]
    sql: str
    statement: Statement
    answers: str = ""
    assumes: str = ""
    no_rows: str = ""
    declared_chart: str = ""
    chart: Chart | None = None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def file(self) -> str:
        """Returns the file's name for error messages."""
        return f"{self.path.parent.name}/{self.path.name}"

    def ask(
        self, connection: "PipelineConnection", given: Mapping[str, str]
    ) -> tuple[Sequence[str], list[dict[str, Any]]]:
        """Returns the answer's columns and rows.

        Raises:
            Misused: a parameter is missing, unknown, or of the wrong type.
            QuestionInvalid: the statement has a mistake, writes, or has two columns with the same name.
            CommandFailed: the statement takes too long, or it returns no rows and the question declares `No rows:`.
        """
        with self._refusals(given):
            bound = self.bound(given)
            result = connection.execute(self.statement.text, [bound[name] for name in self.statement.names])
        self._check_names(result.columns)
        rows = result.mappings()
        if not rows and self.no_rows:
            raise CommandFailed(self._why_no_rows(connection, given))
        return result.columns, rows

    @contextmanager
    def _refusals(self, given: Mapping[str, str]) -> "Iterator[None]":
        """Turns the server's errors into errors of the question, if the question caused them."""
        import pg8000.dbapi

        began = time.monotonic()
        try:
            yield
        except pg8000.dbapi.DatabaseError as error:
            if refused := self._refusal(error.args[0], given, time.monotonic() - began):
                raise refused from None
            raise
        except UnicodeEncodeError:
            raise Misused(f"{self.name}: a parameter is not UTF-8.") from None

    def _refusal(
        self, said: Mapping[str, str], given: Mapping[str, str], seconds: float
    ) -> CommandFailed | Misused | None:
        """Returns the error to raise for the server's error; None if the question did not cause it."""
        state, message = said.get("C", ""), f"{said.get('M', '')}."
        if state == _WRITES:
            return self.statement.invalid(f"a question may only read. The server's message: {message}")
        if state == _STOPPED:
            return CommandFailed(
                f"{self.file} was stopped after {seconds:.0f} s: {message} Let it read less, for instance with a "
                "WHERE, or find the slow part with EXPLAIN."
            )
        # An error of class 22 comes from a value, either of a parameter or in the statement itself.
        if state[:2] == _VALUE and given:
            return Misused(f"{self.name}: {message}")
        if state[:2] in (_MISTAKE, _VALUE):
            return self.statement.invalid(message, int(said.get("P", 1)))
        return None

    def _check_names(self, columns: Sequence[str]) -> None:
        if not columns:
            raise self.statement.invalid("the answer has no columns.")
        for name in columns:
            if columns.count(name) > 1:
                raise self.statement.invalid(
                    f"{columns.count(name)} columns are called {name}. Rename them with AS.",
                    self.statement.position_of_column(name),
                )

    def _why_no_rows(self, connection: "PipelineConnection", given: Mapping[str, str]) -> str:
        first = connection.execute(_FIRST_SNAPSHOT).scalar()
        values = {**given, "first_snapshot": cell("", first).plain}
        return re.sub(r":(\w+)", lambda named: values.get(named[1], named[0]), self.no_rows)

    def bound(self, given: Mapping[str, str]) -> dict[str, str | None]:
        """Returns a value for each parameter; None for an optional one that is not given."""
        known = [parameter.name for parameter in self.parameters]
        if unknown := sorted(set(given) - set(known)):
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise Misused(f"{self.name} has no parameter {', '.join(unknown)}: {takes}.")
        for parameter in self.parameters:
            if parameter.required and parameter.name not in given:
                raise Misused(f"{self.name} needs --param {parameter.name}=…: {parameter.meaning}")
        return {name: given.get(name) for name in known}


def all_questions() -> dict[str, Question]:
    """Returns every valid question by its name, in alphabetical order."""
    return {name: found for name, found in _read_all() if isinstance(found, Question)}


def broken_questions() -> dict[str, QuestionInvalid]:
    """Returns the error of each invalid question, by the question's name."""
    return {name: found for name, found in _read_all() if isinstance(found, QuestionInvalid)}


def find_question(name: str) -> Question:
    """Returns the question with this name.

    Raises:
        Misused: no question has this name.
        QuestionInvalid: the question has a mistake.
    """
    paths = {path.stem: path for path in _files()}
    if name not in paths:
        raise Misused(no_such("question", name, paths))
    return read_question(paths[name])


def _files() -> list[Path]:
    return sorted(FOLDER.glob("*.sql"))


def _read_all() -> Iterator[tuple[str, Question | QuestionInvalid]]:
    for path in _files():
        try:
            yield path.stem, read_question(path)
        except QuestionInvalid as error:
            yield path.stem, error


def read_question(path: Path) -> Question:
    """Reads a question from its file.

    Raises:
        QuestionInvalid: the file can't be read, or its header, chart or statement has a mistake that can be found
            without a warehouse.
    """
    lines = _lines(path)
    end = next((number for number, line in enumerate(lines) if not line.strip()), None)
    if end is None or not lines[0].strip():
        raise QuestionInvalid(path, 1, "has no header: comments, then an empty line, then the SQL.")
    (_, sentence), *paragraphs = _paragraphs(path, lines[:end])
    said = _keywords(path, paragraphs)
    parameters = tuple(
        Parameter(found["name"], found["need"] == "required", found["text"])
        for _, found in said.values()
        if found["name"]
    )
    texts = {keyword: found["text"] for keyword, (_, found) in said.items()}
    sql = "\n".join([*lines[end + 1 :], ""])
    return Question(
        path=path,
        sentence=sentence,
        parameters=parameters,
        sql=sql,
        statement=read_statement(path, end + 2, sql, [parameter.name for parameter in parameters]),
        answers=texts.get("Answers", ""),
        assumes=texts.get("Assumes", ""),
        no_rows=texts.get("No rows", ""),
        declared_chart=texts.get("Chart", ""),
        chart=read_chart(path, said["Chart"][0], texts["Chart"]) if "Chart" in said else None,
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise QuestionInvalid(path, error.object[: error.start].count(b"\n") + 1, "is not UTF-8.") from None
    except OSError as error:
        raise QuestionInvalid(path, 1, f"can't be read: {error.strerror}.") from None


def _paragraphs(path: Path, header: Sequence[str]) -> list[tuple[int, str]]:
    """Returns the header's non-empty paragraphs, each with its first line's number."""
    found: list[tuple[int, str]] = []
    for number, line in enumerate(header, start=1):
        if not line.startswith("--"):
            raise QuestionInvalid(path, number, "is not a comment. An empty line ends the header.")
        if line.startswith("--   ") and found:
            began, text = found[-1]
            found[-1] = (began, f"{text} {line[5:].strip()}")
        else:
            found.append((number, line[2:].strip()))
    if not found[0][1]:
        raise QuestionInvalid(path, 1, "the first line must be the question in one sentence.")
    return [(number, text) for number, text in found if text]


def _keywords(path: Path, paragraphs: Sequence[tuple[int, str]]) -> dict[str, tuple[int, re.Match[str]]]:
    """Returns the paragraphs by keyword, each with its line. A parameter's keyword is `:name`."""
    said: dict[str, tuple[int, re.Match[str]]] = {}
    for line, text in paragraphs:
        found = _PARAGRAPH.fullmatch(text)
        if not found:
            begun = " ".join(text.split()[:3])
            raise QuestionInvalid(
                path,
                line,
                f"“{begun}” does not start a paragraph. These do: {_PARAGRAPHS}. Indent a paragraph's other lines by "
                "3 spaces.",
            )
        keyword = f":{found['name']}" if found["name"] else found[1]
        if keyword in said:
            raise QuestionInvalid(path, line, f"{keyword} occurs twice.")
        said[keyword] = (line, found)
    return said
