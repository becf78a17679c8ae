"""What must not leave by logs, causes, mails and the terminal: secrets are masked, control characters written out.

Secrets are known in two ways. The credentials that this process has read are masked wherever they are, however they are
written. Other people's are known by their names and forms only: `PGPASSWORD=`, `"SessionToken": "…"`, `PASSWORD '…'`,
`Authorization:`, the password of a URL. Where a form leaves open where the secret ends, more is masked.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping
from functools import cache
from urllib.parse import quote, quote_plus

MASK = "***"
# A shorter value is masked as a whole word only: masked within words it could be read off what is left of them.
_LONG = 8
# A still shorter one would mask so much that it could be guessed, and the text not be read.
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
# Its own names are looked at instead.
_OBJECT = re.compile(r"""\{\s*(?:\}(?!\})|(\\*["'])[\w .-]*\1\s*:)""")
# What follows the colon of a table or column of that name.
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

# All control characters but tab and line feed, marks and changes of direction, other line breaks, halves of characters.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_known: set[str] = set()


def remember_secret(value: str) -> None:
    """Masks a value from now on wherever it is, as it is or as URLs, JSON, SQL and Python write it."""
    if len(value) >= _SHORTEST:
        _known.update(_written(value))
        _known_values.cache_clear()


def forget_secrets() -> None:
    """Forgets all values, for tests."""
    _known.clear()
    _known_values.cache_clear()


def redacted(text: str) -> str:
    """Returns `text` with `***` in the place of each secret. The rest stays, and so does a text that was redacted."""
    text = _known_values().sub(MASK, text)
    parts, done, at = [], 0, 0
    # Sought once: for each secret they would take the square of the text's length.
    quotes = [found.start() for found in _QUOTE.finditer(text)] if _START.search(text) else []
    while start := _START.search(text, at):
        begin = at = start.end()
        end = _end(text, start, quotes)
        if end > begin:
            parts += [text[done:begin], MASK]
            done = at = end
    return "".join([*parts, text[done:]])


def redacted_document(document: object) -> object:
    """Returns a document, such as a line of the log, with all its texts redacted, and what bears a secret's name."""
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
    # Without any it is a pattern that nothing fits.
    return re.compile("|".join(map(_pattern, longest_first)) or r"(?!)")


def _pattern(value: str) -> str:
    return re.escape(value) if len(value) >= _LONG else rf"(?<!\w){re.escape(value)}(?!\w)"


def _written(value: str) -> set[str]:
    """The ways to write a value."""
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
    """Returns where the secret ends whose beginning was found; the beginning itself if it is none."""
    at = start.end()
    line_start, line_end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    line_end = len(text) if line_end < 0 else line_end
    if start["url"]:
        return _url_end(text, at, line_end)
    if _OBJECT.match(text, at) or (start["quote"] and _NOTHING.match(text, at)) or _is_no_name(text, start):
        return at
    # A text in JSON, in which a pair ends where the text does.
    in_string = bool((bisect_left(quotes, start.start()) - bisect_left(quotes, line_start)) % 2)
    # What follows a closing quote without a space belongs to it for a shell, and to nobody else.
    rest = _rest(start, in_string).match(text, _value_end(text, at, line_end), line_end)
    return rest.end() if rest else line_end


def _is_no_name(text: str, start: re.Match[str]) -> bool:
    """Whether it is the `secret` in an ARN, or a table or column called token, and something is said of it."""
    if not start["token"] or start["quote"]:
        return False
    in_arn = text[: start.start()].endswith(":") and start[0].endswith(":")
    return in_arn or bool(start["prose"] and _PLAIN_WORD.match(text, start.end()))


def _rest(start: re.Match[str], in_string: bool) -> re.Pattern[str]:
    """What else belongs to a value, after its quotes if it has any."""
    if start["quote"]:
        return _LITERAL
    if start["header"]:
        return _LINE_IN_STRING if in_string else _LINE
    return _RUN_IN_STRING if in_string else _RUN


def _url_end(text: str, at: int, line_end: int) -> int:
    """The last @ of the line, or before the next URL: a password may have any of `/`, `@`, `#` and a space.

    A port begins likewise: a number, followed by something else, and no @ before the next space.
    """
    if _PORT.match(text, at, line_end):
        return at
    if text.rfind("@", at, line_end) < 0:
        return at
    next_url = _NEXT_URL.search(text, at, line_end)
    return max(at, text.rfind("@", at, next_url.start() if next_url else line_end))


def _value_end(text: str, at: int, line_end: int) -> int:
    """The end of a value that is in quotes, dollars or braces; the beginning of any other."""
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
    """The end of a quoted value.

    How quotes within it are escaped depends on who wrote it: libpq, JSON and Python put a backslash before them, SQL
    doubles them. That can't be seen, so it is the last of the ends that they would find.
    """
    # JSON within JSON is written with 1, 3, 7 … backslashes before its quotes, and as much more before those in texts.
    usual = 2 * (len(opening[1]) + 1)
    ways = ((usual, False), (2 * usual, False), (usual, True), (1, True))
    return max(_closing(text, opening, escapes, doubled, line_end) for escapes, doubled in ways)


def _closing(text: str, opening: re.Match[str], escapes: int, doubled: bool, line_end: int) -> int:
    """Returns the end after the first quote that is not escaped, or the line's.

    Args:
        escapes: so many backslashes, beyond those of the opening quote, are not the quote's.
        doubled: two quotes stand for one.
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

    A terminal or a mail would obey them, and show something else than what is there. Line breaks and tabs stay.
    """
    return _OBEYED.sub(lambda found: _escape(ord(found[0])), text)


def visible_line(text: str) -> str:
    """The same without line breaks, which would make more lines of one."""
    return visible(text).replace("\n", r"\n")


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
