"""A question's SQL: where its parameters are, and that it is one statement that reads.

PostgreSQL's own lexical rules: a colon in a text, a name in quotes, a comment or a cast begins no parameter.
https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.charts.declaration import QuestionInvalid
from totes.contracts.files import nearest_name

_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\* )
    | (?P<quoted>  [eE]'(?:[^'\\]|\\.|'')*(?:'|\Z) | '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z)
                 | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z) )
    | (?P<parameter> (?<![:\w]) :[^\W\d]\w* )
    | (?P<word>    [^\W\d][\w$]* )
    | (?P<end>     ; )
    | (?P<other>   [^\s] )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_READING = ("SELECT", "WITH", "VALUES", "TABLE")
_BEGINNINGS = "SELECT, WITH, VALUES or TABLE"


@dataclass(frozen=True)
class Statement:
    """A statement that is known to be one, and to begin as one that reads.

    Attributes:
        path, line: where it begins.
        text: what the server gets, with `$1`, `$2` … in place of parameters.
        names: these parameters.
    """

    path: Path
    line: int
    text: str
    names: tuple[str, ...]

    def invalid(self, problem: str, position: int = 1) -> QuestionInvalid:
        """Returns the error that names the place of a character, as the server counts them."""
        return QuestionInvalid(self.path, self.line + self.text[: position - 1].count("\n"), problem)

    def position_of_column(self, name: str) -> int:
        """Returns where the last `AS name` is; 1 if there is none, for instance in SELECT *."""
        aliases = re.finditer(rf'\bAS\s+"?{re.escape(name)}(?!\w)', self.text, re.IGNORECASE)
        return max((found.end() for found in aliases), default=1)


def read_statement(path: Path, first_line: int, sql: str, declared: Collection[str]) -> Statement:
    """Reads a file's SQL, which begins on `first_line`.

    Raises:
        QuestionInvalid: it is no statement or several, does not begin as one that reads, or its parameters are not
            those that the header declares.
    """
    reader = _Reader(path, first_line, sql)
    reader.check_one_statement()
    reader.check_reading()
    reader.check_parameters(declared)
    return reader.statement()


class _Reader:
    def __init__(self, path: Path, first_line: int, sql: str) -> None:
        self._path, self._first_line, self._sql = path, first_line, sql
        self._pieces = list(_pieces(sql))
        self._tokens = [piece for piece in self._pieces if piece[0] not in ("", "comment", "end")]

    def check_one_statement(self) -> None:
        if not self._tokens:
            raise self._invalid(0, "there is no SQL after the header.")
        began = self._tokens[0][1]
        end = next((start for kind, start, _ in self._pieces if kind == "end" and start > began), len(self._sql))
        if second := [start for _, start, _ in self._tokens if start > end]:
            raise self._invalid(second[0], "a second statement begins here. A question is one statement.")

    def check_reading(self) -> None:
        _, start, first = next((token for token in self._tokens if token[2] != "("), self._tokens[0])
        if first.upper() not in _READING:
            raise self._invalid(start, f"a question may only read: it begins with {_BEGINNINGS}, not {first}.")

    def check_parameters(self, declared: Collection[str]) -> None:
        used = {text[1:]: start for kind, start, text in reversed(self._tokens) if kind == "parameter"}
        for name, start in sorted(used.items(), key=lambda item: item[1]):
            if name not in declared:
                nearest = nearest_name(name, declared)
                meant = f" Did you mean :{nearest}?" if nearest else ""
                raise self._invalid(start, f":{name} has no Parameter paragraph.{meant}")
        if unused := [name for name in declared if name not in used]:
            raise self._invalid(self._tokens[0][1], f"the SQL does not use the parameter :{unused[0]}.")

    def statement(self) -> Statement:
        start = self._tokens[0][1]
        text, names = "", []
        for kind, _, piece in (found for found in self._pieces if found[1] >= start):
            if kind == "parameter":
                names.append(piece[1:])
            text += f"${len(names)}" if kind == "parameter" else piece
        return Statement(self._path, self._line_at(start), text, tuple(names))

    def _line_at(self, position: int) -> int:
        return self._first_line + self._sql[:position].count("\n")

    def _invalid(self, position: int, problem: str) -> QuestionInvalid:
        return QuestionInvalid(self._path, self._line_at(position), problem)


def _pieces(sql: str) -> Iterator[tuple[str, int, str]]:
    """Yields the whole text in pieces, as (kind, position, text); what is between tokens has no kind."""
    position = 0
    while found := _TOKEN.search(sql, position):
        end = _after_comment(sql, found.end()) if found[0] == "/*" else found.end()
        yield "", position, sql[position : found.start()]
        yield _kind(found), found.start(), sql[found.start() : end]
        position = end
    yield "", position, sql[position:]


def _kind(found: re.Match[str]) -> str:
    """A tag is a part of what it quotes."""
    return "quoted" if found.lastgroup == "tag" else str(found.lastgroup)


def _after_comment(sql: str, position: int) -> int:
    """Returns the end of a comment that has begun. Comments may lie within one another."""
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(sql, position)):
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return len(sql) if depth else position
