"""The business's questions: the .sql files in queries/, each with its header.

The header is a comment block up to the first empty line. Its first line is the question in one sentence;
a parameter has a paragraph `Parameter :name (required): …` or `Parameter :name (optional): …`. An optional one is
NULL when it is left out, and the query says what that means. If an answer without rows is an error,
a paragraph `No rows: …` says why; in it `:name` is a parameter's value, `:first_snapshot` the first batch's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import CommandFailed, Misused, no_such
from cli.render.terminal import cell

if TYPE_CHECKING:
    import sqlalchemy

FOLDER = Path(__file__).parent.parent / "queries"

_PARAMETER = re.compile(r"Parameter :(\w+) \((required|optional)\): (.+)")
_NO_ROWS = re.compile(r"No rows: (.+)")
_FIRST_SNAPSHOT = "SELECT min(snapshot_at) FROM etl.batch"


@dataclass(frozen=True)
class Parameter:
    """What a query may or must be told."""

    name: str
    required: bool
    meaning: str


@dataclass(frozen=True)
class Question:
    """One question: its name, its one sentence, its parameters, its statement, and the meaning of no rows."""

    name: str
    sentence: str
    parameters: tuple[Parameter, ...]
    sql: str
    no_rows: str = ""

    def ask(
        self, connection: "sqlalchemy.Connection", given: Mapping[str, str]
    ) -> tuple[Sequence[str], list[dict[str, Any]]]:
        """The columns and the rows of the answer.

        Raises:
            Misused: a parameter is missing, unknown, or of the wrong type.
            CommandFailed: there are no rows, and the question says why.
        """
        import sqlalchemy

        try:
            result = connection.execute(sqlalchemy.text(self.sql), self.bound(given))
        except sqlalchemy.exc.DBAPIError as error:
            # SQLSTATE class 22 is data exception: here it can only be a parameter that does not parse.
            said = error.orig.args[0] if error.orig and isinstance(error.orig.args[0], dict) else {}
            if not str(said.get("C", "")).startswith("22"):
                raise
            raise Misused(f"{self.name}: {said['M']}.") from None
        except UnicodeEncodeError:
            raise Misused(f"{self.name}: a parameter is not UTF-8.") from None
        columns, rows = list(result.keys()), [dict(row) for row in result.mappings()]
        if not rows and self.no_rows:
            raise CommandFailed(self._why_no_rows(connection, given))
        return columns, rows

    def _why_no_rows(self, connection: "sqlalchemy.Connection", given: Mapping[str, str]) -> str:
        import sqlalchemy

        first = connection.scalar(sqlalchemy.text(_FIRST_SNAPSHOT))
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
    """A question from its file."""
    header, sql = path.read_text(encoding="utf-8").split("\n\n", 1)
    paragraphs: list[str] = []
    for line in header.splitlines():
        if line.startswith("--   "):
            paragraphs[-1] += f" {line[5:]}"
        else:
            paragraphs.append(line[3:])
    empty = next((match[1] for paragraph in paragraphs if (match := _NO_ROWS.fullmatch(paragraph))), "")
    matches = [match for paragraph in paragraphs if (match := _PARAMETER.fullmatch(paragraph))]
    return Question(
        name=path.stem,
        sentence=paragraphs[0],
        parameters=tuple(Parameter(match[1], match[2] == "required", match[3]) for match in matches),
        sql=sql,
        no_rows=empty,
    )
