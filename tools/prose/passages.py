"""Finds the English in a file: paragraphs of Markdown, docstrings, comments and messages."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Stands for code in a sentence: one word that no rule knows.
_CODE = "code"
# A message has at least so many words. Shorter texts are names and values.
_WORDS = 5
# Lists in docstrings and comments: each entry is a sentence of its own.
_ENTRY = re.compile(r"^\s*(?:[-*] |\d+\. |[\w, `*]+: |\S.*\S {2,}\S)")
_COMMENT = re.compile(r"^\s*(?:#|--)(?!!) ?(.*)$")
# SQL, and a regular expression with alternatives.
_FOR_MACHINES = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP)\b|.*\w\|\w")
_CODED = re.compile(r"`[^`]*`|\$\{[^}]*\}|https?://\S+")
# A drawn tree has no sentences.
_DRAWN = re.compile(r"[\u2500-\u257f]")


@dataclass(frozen=True)
class Passage:
    """A paragraph.

    Attributes:
        line: the line in its file on which it begins, from 1.
        text: its words on one line, with the word "code" for each piece of code.
        begins: "function" if it begins a function's docstring; else empty.
    """

    line: int
    text: str
    begins: str = ""


def passages(path: Path) -> list[Passage]:
    """Returns a file's passages, in order.

    Raises:
        SyntaxError: it is a Python file that can't be parsed.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return list(_of_markdown(text))
    if path.suffix == ".py":
        # Tests quote messages of others.
        found = [*_of_strings(text, messages="tests" not in path.parts), *_of_python_comments(text)]
        return sorted(found, key=lambda passage: passage.line)
    return list(_of_comments(enumerate(text.splitlines(), start=1)))


def _of_markdown(text: str) -> Iterator[Passage]:
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "inline" and token.map:
            yield Passage(token.map[0] + 1, _words(token.children or []))


def _words(tokens: list[Token]) -> str:
    kept = {"code_inline": _CODE, "softbreak": " ", "hardbreak": " "}
    return "".join(token.content if token.type == "text" else kept.get(token.type, "") for token in tokens)


def _of_strings(text: str, *, messages: bool) -> Iterator[Passage]:
    nodes = list(ast.walk(ast.parse(text)))
    # Every docstring is a constant, too, and so are the parts of an f-string.
    skipped = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            statement = node.body[0]
            skipped.update(child for child in ast.walk(statement) if isinstance(child, ast.expr))
            yield from _paragraphs(statement.lineno, ast.get_docstring(node, clean=False) or "", _kind(node))
        elif messages and isinstance(node, ast.JoinedStr):
            yield from _message(node.lineno, "".join(_literal(part) for part in node.values))
        elif messages and isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield from _message(node.lineno, node.value)


def _kind(documented: ast.AST) -> str:
    if not isinstance(documented, ast.FunctionDef):
        return ""
    # A command's docstring is its help, which is an imperative. A test's says what is true.
    is_command = "typer." in ast.unparse(documented.args)
    return "" if is_command or documented.name.startswith("test_") else "function"


def _literal(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else _CODE


def _message(line: int, text: str) -> Iterator[Passage]:
    if len(text.split()) >= _WORDS and "\n" not in text.strip() and not _FOR_MACHINES.match(text):
        yield Passage(line, _plain(text))


def _of_python_comments(text: str) -> Iterator[Passage]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return _of_comments((token.start[0], token.line) for token in tokens if token.type == tokenize.COMMENT)


def _of_comments(lines: Iterable[tuple[int, str]]) -> Iterator[Passage]:
    """Reads comments that have lines of their own; those on lines that follow each other are one text."""
    found = [(line, match[1]) for line, text in lines if (match := _COMMENT.match(text))]
    for _, group in groupby(enumerate(found), key=lambda item: item[1][0] - item[0]):
        block = [comment for _, comment in group]
        yield from _paragraphs(block[0][0], "\n".join(text for _, text in block))


def _paragraphs(line: int, text: str, begins: str = "") -> Iterator[Passage]:
    """Splits a docstring or a block of comments at empty lines and in front of a list's entries."""
    rows: list[str] = []
    for number, row in enumerate([*text.splitlines(), ""], start=line):
        if _DRAWN.search(row):
            row = ""
        if rows and (not row.strip() or _ENTRY.match(row)):
            yield Passage(number - len(rows), _plain(" ".join(rows)), begins)
            rows, begins = [], ""
        if row.strip():
            rows.append(row)


def _plain(text: str) -> str:
    text = _CODED.sub(_CODE, " ".join(text.split()))
    # A file's name may hold what no text may.
    return text.encode("utf-8", "replace").decode()
