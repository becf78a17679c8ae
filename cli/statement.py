"""Finds the parameters in a question's SQL, and checks that it is one statement that only reads.

sqlglot knows PostgreSQL's lexical rules: a colon in a string, a quoted name, a comment or a cast starts no parameter.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cli.charts.declaration import QuestionInvalid
from totes.contracts.files import nearest_name

if TYPE_CHECKING:
    from sqlglot import Token

_READING = ("SELECT", "WITH", "VALUES", "TABLE")
_BEGINNINGS = "SELECT, WITH, VALUES or TABLE"


@dataclass(frozen=True)
class Statement:
    """A checked statement: it is a single one, and starts with a keyword that reads.

    Attributes:
        path, line: the file and line where it starts.
        text: the SQL for the server, with `$1`, `$2` … in place of parameters.
        names: the parameters' names, in that order.
    """

    path: Path
    line: int
    text: str
    names: tuple[str, ...]

    def invalid(self, problem: str, position: int = 1) -> QuestionInvalid:
        """Returns an error that names the line of a character; `position` counts from 1, as the server does."""
        return QuestionInvalid(self.path, self.line + self.text[: position - 1].count("\n"), problem)

    def position_of_column(self, name: str) -> int:
        """Returns the position of the last `AS name`; 1 if there is none, for instance in SELECT *."""
        aliases = re.finditer(rf'\bAS\s+"?{re.escape(name)}(?!\w)', self.text, re.IGNORECASE)
        return max((found.end() for found in aliases), default=1)


def read_statement(path: Path, first_line: int, sql: str, declared: Collection[str]) -> Statement:
    """Reads a file's SQL, which starts on `first_line`.

    Raises:
        QuestionInvalid: it is not exactly one statement, does not start with a keyword that reads, or uses other
            parameters than the header declares.
    """
    reader = _Reader(path, first_line, sql)
    reader.check_one_statement()
    reader.check_reading()
    reader.check_parameters(declared)
    return reader.statement()


class _Reader:
    def __init__(self, path: Path, first_line: int, sql: str) -> None:
        self._path, self._first_line, self._sql = path, first_line, sql
        self._tokens = self._read()
        self._parameters = list(self._find_parameters())

    def _read(self) -> "list[Token]":
        # Imported here, because the commands' help does not need it.
        from sqlglot.dialects.postgres import Postgres
        from sqlglot.errors import TokenError

        try:
            return list(Postgres().tokenize(self._sql))
        except TokenError as error:
            raise self._invalid(0, f"the SQL can't be read: {error}.") from None

    def _find_parameters(self) -> Iterator[tuple[int, str]]:
        """Yields each parameter's position and name: a colon followed, but not preceded, by a name."""
        for colon, name in pairwise(self._tokens):
            begins = self._text(colon) == ":" and name.start == colon.end + 1 and self._text(name).isidentifier()
            if begins and not re.match(r"\w", self._sql[colon.start - 1 : colon.start]):
                yield colon.start, self._text(name)

    def check_one_statement(self) -> None:
        began = [token for token in self._tokens if self._text(token) != ";"]
        if not began:
            raise self._invalid(0, "there is no SQL after the header.")
        self._tokens = self._tokens[self._tokens.index(began[0]) :]
        ended = next((token.start for token in self._tokens if self._text(token) == ";"), len(self._sql))
        if second := [token.start for token in began if token.start > ended]:
            raise self._invalid(second[0], "a second statement starts here. A question is one statement.")

    def check_reading(self) -> None:
        first = next((token for token in self._tokens if self._text(token) != "("), self._tokens[0])
        if self._text(first).upper() not in _READING:
            said = f"a question may only read: it must start with {_BEGINNINGS}, not {self._text(first)}."
            raise self._invalid(first.start, said)

    def check_parameters(self, declared: Collection[str]) -> None:
        for start, name in self._parameters:
            if name not in declared:
                nearest = nearest_name(name, declared)
                meant = f" Did you mean :{nearest}?" if nearest else ""
                raise self._invalid(start, f":{name} has no Parameter paragraph.{meant}")
        used = {name for _, name in self._parameters}
        if unused := [name for name in declared if name not in used]:
            raise self._invalid(self._tokens[0].start, f"the SQL does not use the parameter :{unused[0]}.")

    def statement(self) -> Statement:
        begin = self._tokens[0].start
        text, end = "", begin
        for number, (start, name) in enumerate(self._parameters, start=1):
            text += f"{self._sql[end:start]}${number}"
            end = start + 1 + len(name)
        names = tuple(name for _, name in self._parameters)
        return Statement(self._path, self._line_at(begin), text + self._sql[end:], names)

    def _text(self, token: "Token") -> str:
        return self._sql[token.start : token.end + 1]

    def _line_at(self, position: int) -> int:
        return self._first_line + self._sql[:position].count("\n")

    def _invalid(self, position: int, problem: str) -> QuestionInvalid:
        return QuestionInvalid(self._path, self._line_at(position), problem)
