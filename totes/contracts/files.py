"""Reads the files of schemas/: TOML, its fields' types, and the line that each field is on."""

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

_Part = TypeVar("_Part")
_Kind = Callable[..., _Part]

_HEADER = re.compile(r"\s*\[+([^\]]+)\]+\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*([\w."'-]+)\s*=""")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_LONG_TEXT = re.compile(r'"""|\'\'\'')
_LONG_WORD = re.compile(r"(\S{60})\S{40,}")
_INT_BITS = 31
# A default may be an empty text. `meaning` and `breaks` have findings of their own.
_MAY_BE_EMPTY = ("default", "meaning", "breaks")
# {a dataclass field's type: (the types of its TOML value, their name in a message)}
_KINDS: Mapping[object, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    str | None: ((str,), "a text"),
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    int | None: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}


@dataclass(frozen=True, order=True)
class Finding:
    """A mistake in a declaration.

    Attributes:
        file: its path in schemas/.
        line: counts from 1.
    """

    file: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}"


class File:
    """A file of schemas/.

    Attributes:
        table: the name of the table that it declares.
        fields: its content; None if it is not TOML.
        findings: the mistakes that were found so far.
    """

    def __init__(self, path: Path) -> None:
        self.table = path.stem
        self.name = f"{path.parent.name}/{path.name}"
        self.findings: list[Finding] = []
        self.fields: dict[str, Any] | None = None
        self._text, problem = read_text(path)
        if problem:
            self.findings.append(Finding(self.name, 1, problem))
            return
        try:
            self.fields = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            at = _AT_LINE.search(str(error))
            line = int(at[1]) if at else self._text.count("\n") + 1
            self.findings.append(Finding(self.name, line, f"not TOML: {_AT_LINE.sub('', str(error)).strip()}"))
        except (ValueError, RecursionError):
            # Python reads no number of more than 4,300 digits and no brackets of about 300 levels, and names no line.
            lines = self._text.split("\n")
            line = lines.index(max(lines, key=len)) + 1
            self.findings.append(Finding(self.name, line, "has a number that is too long, or too many nested brackets"))

    def find(self, problem: str, *place: str) -> None:
        """Adds a finding at a field, given by its path. If its line is unknown, at the nearest known line above."""
        self.findings.append(Finding(self.name, self._line(place), _LONG_WORD.sub(r"\1…", problem)))

    def part_names(self, parts: str) -> Collection[str]:
        """Returns the names of all columns or checks, well-formed or not."""
        found = (self.fields or {}).get(parts)
        return found.keys() if isinstance(found, dict) else ()

    def says(self, *place: str) -> bool:
        """Returns whether the file has a field, given by its path."""
        found: Any = self.fields
        for name in place:
            if not isinstance(found, dict) or name not in found:
                return False
            found = found[name]
        return True

    def parts(self, parts: str, kind: _Kind[_Part], known: Collection[str]) -> Iterator[_Part]:
        """Yields the well-formed columns or checks, and adds findings for the others."""
        declared = (self.fields or {}).get(parts, {})
        if not isinstance(declared, dict):
            self.find(f"{parts} is {_said(declared)}, expected a table", parts)
            return
        for name, given in declared.items():
            if not name.strip() or "\0" in name:
                self.find(f"{parts}: {name!r} is no name", parts, name)
            elif not isinstance(given, dict):
                self.find(f"{name} is {_said(given)}, expected a table of fields", parts, name)
            elif made := self._made(kind, name, given, known, parts, name):
                yield made

    def made(self, kind: _Kind[_Part], known: Collection[str], **parts: object) -> _Part | None:
        """Makes the table from its fields and parts; returns None if a field is unknown, missing or of a wrong type."""
        if self.fields is None:
            return None
        given = {name: value for name, value in self.fields.items() if name not in parts}
        return self._made(kind, self.table, given, known, **parts)

    def _made(
        self,
        kind: _Kind[_Part],
        name: str,
        given: Mapping[str, Any],
        known: Collection[str],
        *place: str,
        **more: object,
    ) -> _Part | None:
        found, of = len(self.findings), f"{place[-1]}: " if place else ""
        types = _fields(kind)
        for field in given.keys() - set(known):
            hint = nearest(field, known) or f"; known are {', '.join(sorted(known))}"
            self.find(f"{of}field {field} is unknown{hint}", *place, field)
        for field in known:
            if field in given:
                self._check_type(of, given[field], types[field], *place, field)
            elif types[field].default is MISSING and types[field].default_factory is MISSING:
                self.find(f"{of}field {field} is missing", *place)
        if len(self.findings) > found:
            return None
        values = {
            types[field].name: tuple(value) if isinstance(value, list) else value for field, value in given.items()
        }
        return kind(name=name, **values, **more)

    def _check_type(self, of: str, value: object, field: "Field[Any]", *place: str) -> None:
        if field.type == tuple[str, ...]:
            fits, expected = isinstance(value, list) and all(isinstance(each, str) for each in value), "a list of texts"
        elif field.type == Mapping[str, str]:
            fits = isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
            expected = "a table of texts"
        else:
            kinds, expected = _KINDS[field.type]
            # To Python, true is a number.
            fits = isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds) and not _is_long(value)
        if not fits:
            self.find(f"{of}{place[-1]} is {_said(value)}, expected {expected}", *place)
        elif isinstance(value, str) and not value.strip() and place[-1] not in _MAY_BE_EMPTY:
            self.find(f"{of}{place[-1]} is empty", *place)
        elif any("\0" in text for text in _texts(value)):
            self.find(f"{of}{place[-1]} holds a NUL character", *place)

    def _line(self, place: tuple[str, ...]) -> int:
        lines = _lines(self._text)
        return next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), 1)


def read_text(path: Path) -> tuple[str, str]:
    """Returns a file's text, and the reason if it can't be read; one of the two is empty."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "", "not UTF-8"
    except OSError as error:
        return "", f"can't be read: {error.strerror}"
    if text.startswith("\ufeff"):
        return "", "begins with a byte order mark, which an editor does not show: save it as UTF-8 without one"
    return text, ""


def nearest_name(name: str, known: Collection[str]) -> str | None:
    """Returns the known name that is nearest to a name; None if none is near."""
    # Imported here, because only a mistake needs it.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, sorted(known), 1)), None)


def nearest(name: str, known: Collection[str]) -> str:
    """Returns a hint with the nearest known name; empty if none is near."""
    found = nearest_name(name, known)
    return f"; did you mean {found}?" if found else ""


@cache
def _fields(kind: Any) -> "Mapping[str, Field[Any]]":
    # A Python keyword can't name an attribute.
    return {"from" if each.name == "origin" else each.name: each for each in fields(kind)}


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Returns the line of each key, by its path; keys inside braces have the line of the brace."""
    found: dict[tuple[str, ...], int] = {}
    above: tuple[str, ...] = ()
    in_text = False
    for number, line in enumerate(text.splitlines(), 1):
        if not in_text and (header := _HEADER.match(line)):
            above = _path(header[1])
            found.setdefault(above, number)
        elif not in_text and (key := _KEY.match(line)):
            found.setdefault((*above, *_path(key[1])), number)
        in_text ^= len(_LONG_TEXT.findall(line)) % 2 == 1
    return found


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _said(value: object) -> str:
    if _is_long(value):
        return "a number beyond 32 bits"
    return {list: "a list", dict: "a table", bool: "true or false"}.get(type(value)) or f"{value!r}"


def _is_long(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > _INT_BITS


def _texts(value: Any) -> list[str]:
    """Returns the texts of a field, whose type is right."""
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return [text for text in found if isinstance(text, str)]
