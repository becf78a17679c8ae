"""Masks secrets, and writes control characters out, in texts for logs, causes, mails and the terminal.

Secrets are found in two ways. The credentials that this process has read are masked everywhere, in each way to write
them. Other secrets are found by a name or a form: `PGPASSWORD=`, `"SessionToken": "…"`, `PASSWORD '…'`,
`Authorization:`, the password in a URL. If a form does not show where the secret ends, more is masked.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping
from functools import cache
from urllib.parse import quote, quote_plus

MASK = "***"
# From 8 characters on, a value is masked anywhere; a shorter one only as a whole word. Inside a longer word, the
# letters that remain would give it away.
_LONG = 8
# Below 4 characters, a value is not masked. It occurs so often that the masks would give it away and make the text
# unreadable.
_SHORTEST = 4

_PASSWORD = r"(?:passwords?|passwd|passphrase|pwd)"  # noqa: S105
_TOKEN = r"(?:secret(?:string|binary)?|token|(?:api|access|account|private)[_-]?key|signature)"  # noqa: S105
_START = re.compile(
    rf"""
      (?P<url> ://[^:/\s]*: )
    | --[\w-]{{0,40}} (?P<option> {_PASSWORD}|{_TOKEN} ) [ \t]+
    | (?: {_PASSWORD} | (?P<token> {_TOKEN}) | (?P<header> authorization)) (?P<quote> \\*["'`])?
          [ \t]* (?: => | := | = | :(?!:) (?P<prose> [ \t])? ) [ \t]*
    | (?P<sql> {_PASSWORD}) [ \t]+ (?= [a-z]?&? \\* ["'`] | \$\w*\$ )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SECRET_NAME = re.compile(rf"(?:{_PASSWORD}|{_TOKEN}|authorization)\Z", re.IGNORECASE)
_OPENING = re.compile(r"""(?:[A-Za-z]&?)?(\\*)(["'`])""")
_BRACES = re.compile(r"(?:[^}]|}})*}")
_DOLLARS = re.compile(r"\$\w*\$")
# An object is not masked as a whole: the names inside it decide.
_OBJECT = re.compile(r"""\{\s*(?:\}(?!\})|(\\*["'])[\w .-]*\1\s*:)""")
# A word after the colon of a table or column that is called token or the like.
_PLAIN_WORD = re.compile(r"(?:[a-z]+|[0-9]+)(?=[.,;:]?(?:\s|\Z))")
_PORT = re.compile(r"""[0-9]{1,5}(?=[^\w@])[^@\s]*(?:\s|\Z)|[0-9]{1,5}\Z""")
_NEXT_URL = re.compile(r"""[\s"'`,;(<][A-Za-z][\w+.-]*://""")
_NOTHING = re.compile(r"(?:null|none|true|false)\b", re.IGNORECASE)
_LITERAL = re.compile(r"[^\s,}\])]*")
_RUN = re.compile(r"(?:\\.|\S)*")
_RUN_IN_STRING = re.compile(r"""(?:\\.|[^\s"]|"(?![\s,}\])]|\Z))*""")
_LINE = re.compile(r".*")
_LINE_IN_STRING = re.compile(r"""(?:\\.|[^"])*""")
_QUOTE = re.compile(r'(?<!\\)"')

# Control characters except tab and line feed, marks and changes of direction, other line breaks, lone surrogates.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_known: set[str] = set()


def remember_secret(value: str) -> None:
    """Masks a value in every text from now on, as it is or as URLs, JSON, SQL and Python write it."""
    if len(value) >= _SHORTEST:
        _known.update(_written(value))
        _known_values.cache_clear()


def forget_secrets() -> None:
    """Forgets all values, for tests."""
    _known.clear()
    _known_values.cache_clear()


def redacted(text: str) -> str:
    """Returns `text` with `***` in place of each secret. A text that was redacted before stays the same."""
    text = _known_values().sub(MASK, text)
    parts, done, at = [], 0, 0
    # Found once: finding them again for each secret would take time by the square of the text's length.
    quotes = [found.start() for found in _QUOTE.finditer(text)] if _START.search(text) else []
    while start := _START.search(text, at):
        begin = at = start.end()
        end = _end(text, start, quotes)
        if end > begin:
            parts += [text[done:begin], MASK]
            done = at = end
    return "".join([*parts, text[done:]])


def redacted_document(document: object) -> object:
    """Returns a document, such as a line of the log, with all texts redacted and the values of secret names masked."""
    match document:
        case Mapping():
            return {
                redacted(str(name)): MASK
                if isinstance(value, str) and _SECRET_NAME.search(str(name))
                else redacted_document(value)
                for name, value in document.items()
            }
        case list() | tuple() | set():
            return [redacted_document(value) for value in document]
        case None | bool() | int() | float():
            return document
        case _:
            return redacted(str(document))


@cache
def _known_values() -> re.Pattern[str]:
    longest_first = sorted(_known, key=len, reverse=True)
    # If there are none, a pattern that matches nothing.
    return re.compile("|".join(map(_pattern, longest_first)) or r"(?!)")


def _pattern(value: str) -> str:
    return re.escape(value) if len(value) >= _LONG else rf"(?<!\w){re.escape(value)}(?!\w)"


def _written(value: str) -> set[str]:
    """Returns the ways to write a value."""
    escaped = value.replace("\\", "\\\\")
    ways = {
        *(value, repr(value)[1:-1], repr(value.encode())[2:-1]),
        *(quote(value), quote(value, safe=""), quote_plus(value)),
        *(escaped.replace("'", "\\'"), escaped.replace("'", "''"), value.replace("'", "''"), value.replace('"', '""')),
    }
    for _ in range(3):
        ways |= {json.dumps(way, ensure_ascii=ascii)[1:-1] for way in ways for ascii in (True, False)}
    return ways


def _end(text: str, start: re.Match[str], quotes: list[int]) -> int:
    """Returns the end of a secret, given the match of its beginning; the beginning itself if it is no secret."""
    at = start.end()
    line_start, line_end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    line_end = len(text) if line_end < 0 else line_end
    if start["url"]:
        return _url_end(text, at, line_end)
    if _OBJECT.match(text, at) or (start["quote"] and _NOTHING.match(text, at)) or _is_no_name(text, start):
        return at
    # Inside a JSON string: a secret without quotes ends at the string's end, at the latest.
    in_string = bool((bisect_left(quotes, start.start()) - bisect_left(quotes, line_start)) % 2)
    # To a shell, text that follows a closing quote without a space belongs to the value.
    rest = _rest(start, in_string).match(text, _value_end(text, at, line_end), line_end)
    return rest.end() if rest else line_end


def _is_no_name(text: str, start: re.Match[str]) -> bool:
    """Returns whether a match is no secret's name: the `secret` in an ARN, or a table or column called token."""
    if not start["token"] or start["quote"]:
        return False
    in_arn = text[: start.start()].endswith(":") and start[0].endswith(":")
    return in_arn or bool(start["prose"] and _PLAIN_WORD.match(text, start.end()))


def _rest(start: re.Match[str], in_string: bool) -> re.Pattern[str]:
    """Returns the pattern of the text that still belongs to a value, after its quotes if it has any."""
    if start["quote"]:
        return _LITERAL
    if start["header"]:
        return _LINE_IN_STRING if in_string else _LINE
    return _RUN_IN_STRING if in_string else _RUN


def _url_end(text: str, at: int, line_end: int) -> int:
    """Returns the place of the last @ before the next URL or the line's end; a password may hold `/`, `@`, `#`, spaces.

    A port is no password: a number, followed by something else, and no @ before the next space.
    """
    if _PORT.match(text, at, line_end):
        return at
    if text.rfind("@", at, line_end) < 0:
        return at
    next_url = _NEXT_URL.search(text, at, line_end)
    return max(at, text.rfind("@", at, next_url.start() if next_url else line_end))


def _value_end(text: str, at: int, line_end: int) -> int:
    """Returns the end of a value in quotes, dollar quotes or braces; the beginning of any other value."""
    if opening := _OPENING.match(text, at, line_end):
        return _quoted_end(text, opening, line_end)
    if dollars := _DOLLARS.match(text, at, line_end):
        closing = text.find(dollars[0], dollars.end(), line_end)
        return at if closing < 0 else closing + len(dollars[0])
    if text.startswith("{", at):
        braces = _BRACES.match(text, at, line_end)
        return braces.end() if braces else line_end
    return at


def _quoted_end(text: str, opening: re.Match[str], line_end: int) -> int:
    """Returns the end of a quoted value.

    libpq, JSON and Python escape quotes inside it with a backslash; SQL doubles them. The text does not show which of
    them wrote it. So this is the last of the ends that they would find.
    """
    # JSON within JSON has 1, 3, 7 … backslashes before its quotes, and as many more before quotes inside strings.
    usual = 2 * (len(opening[1]) + 1)
    ways = ((usual, False), (2 * usual, False), (usual, True), (1, True))
    return max(_closing(text, opening, escapes, doubled, line_end) for escapes, doubled in ways)


def _closing(text: str, opening: re.Match[str], escapes: int, doubled: bool, line_end: int) -> int:
    """Returns the end after the first quote that is not escaped, or the line's.

    Args:
        escapes: a multiple of this number of backslashes, beyond those of the opening quote, does not escape a quote.
        doubled: whether two quotes stand for one.
    """
    twin, skipped = opening[1] + opening[2], -1
    for found in re.compile(rf"(\\*){opening[2]}").finditer(text, opening.end(), line_end):
        end = found.end()
        if end == skipped or (len(found[1]) - len(opening[1])) % escapes:
            continue
        if doubled and text.startswith(twin, end, line_end):
            skipped = end + len(twin)
        elif not text[end : end + 1].isalnum():
            return end
    return line_end


def visible(text: str) -> str:
    r"""Returns `text` with control characters, escape sequences and changes of direction written out: `\x1b[31m`.

    A terminal or a mail program would obey them, and show something else than the text. Line breaks and tabs stay.
    """
    return _OBEYED.sub(lambda found: _escape(ord(found[0])), text)


def visible_line(text: str) -> str:
    """Returns `text` on one line: control characters and changes of direction are written out, and line breaks, too."""
    return visible(text).replace("\n", r"\n")


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
