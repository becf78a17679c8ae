"""Parses a chart's declaration in a question's header: `Chart: line, x=month, y=revenue, row=currency_code`.

- The kind comes first: `bar` or `line`.
- `x` and `y` are columns; one of them is a quantity.
- `row` names the columns whose values form the panels, joined by +. It is optional.
- `color` names the column whose values have a colour each. It is optional.

`queries/<name>.vl.json` may refine the chart: it is a partial Vega-Lite specification, merged into each panel's.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cli.errors import CommandFailed
from totes.contracts.files import nearest_name

KINDS = ("bar", "line")
_CHANNELS = ("x", "y", "row", "color")
_OPTION = re.compile(r"(\w+)=(\w+(?:\+\w+)*)")
CURRENCY = "currency_code"


class QuestionInvalid(CommandFailed):
    """A file in queries/ is malformed, or declares a column that its answer lacks."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(f"{path.parent.name}/{path.name}:{line}: {problem}")


@dataclass(frozen=True)
class Chart:
    """A chart's declaration.

    Attributes:
        path, line: the declaration's place.
        kind: `bar` or `line`.
        x, y: columns of the answer.
        row: the columns whose values form the panels; empty if there is one panel.
        color: the column whose values have a colour each, or None.
        refinement: a partial Vega-Lite specification, merged into each panel's.
    """

    path: Path
    line: int
    kind: str
    x: str
    y: str
    row: tuple[str, ...] = ()
    color: str | None = None
    refinement: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folded(self) -> tuple[str, ...]:
        """Returns the columns that the refinement folds into one quantity, with a series for each column."""
        return tuple(_values_of("fold", self.refinement))

    def check(self, columns: Sequence[str], amounts: Sequence[str]) -> None:
        """Checks the declaration against the answer.

        Args:
            amounts: the columns with amounts of money.

        Raises:
            QuestionInvalid: a column is not in the answer, or amounts of different currencies share a panel.
        """
        drawn = [self.x, self.y, *self.row, *([self.color] if self.color else [])]
        made = set(_values_of("as", self.refinement))
        for name in [*drawn, *(found for found in _values_of("field", self.refinement) if found not in made)]:
            if name not in columns:
                raise self.invalid(f"the answer has no column {name}.{_meant(name, columns)}")
        if CURRENCY in columns and CURRENCY not in self.row:
            used = {*drawn, *_values_of("field", self.refinement), *_values_of("fold", self.refinement)}
            if mixed := sorted(used & set(amounts)):
                raise self.invalid(
                    f"amounts of different currencies can't be drawn together: {', '.join(mixed)}. "
                    f"Add {CURRENCY} to row."
                )

    def invalid(self, problem: str) -> QuestionInvalid:
        return QuestionInvalid(self.path, self.line, f"Chart: {problem}")


def read_chart(path: Path, line: int, text: str) -> Chart:
    """Parses the paragraph `Chart:`, and queries/<name>.vl.json if it exists.

    Raises:
        QuestionInvalid: either is malformed.
    """
    chart = _Declaration(path, line).parsed(text)
    refined = path.with_suffix(".vl.json")
    if not refined.exists():
        return chart
    return replace(chart, refinement=_read_refinement(refined))


class _Declaration:
    def __init__(self, path: Path, line: int) -> None:
        self._path = path
        self._line = line

    def parsed(self, text: str) -> Chart:
        kind, *options = (part.strip() for part in text.rstrip(".").split(","))
        if kind not in KINDS:
            raise self._invalid(f"{kind} is not a kind of chart.{_meant(kind, KINDS)}")
        given = dict(self._option(option) for option in options)
        if len(given) < len(options):
            raise self._invalid("a channel is given twice.")
        if missing := [channel for channel in ("x", "y") if channel not in given]:
            raise self._invalid(f"{' and '.join(missing)} must be given, like x=month, y=revenue.")
        row = tuple(given["row"].split("+")) if "row" in given else ()
        if joined := [channel for channel in ("x", "y", "color") if "+" in given.get(channel, "")]:
            raise self._invalid(f"{joined[0]} is one column; only row joins several with +.")
        return Chart(self._path, self._line, kind, given["x"], given["y"], row, given.get("color"))

    def _option(self, option: str) -> tuple[str, str]:
        found = _OPTION.fullmatch(option)
        if not found:
            raise self._invalid(f"{option or 'nothing between commas'} is not CHANNEL=COLUMN, like x=month.")
        channel, columns = found.groups()
        if channel not in _CHANNELS:
            raise self._invalid(f"there is no channel {channel}.{_meant(channel, _CHANNELS)}")
        return channel, columns

    def _invalid(self, problem: str) -> QuestionInvalid:
        return QuestionInvalid(self._path, self._line, f"Chart: {problem}")


def _read_refinement(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise QuestionInvalid(path, error.lineno, f"is not JSON: {error.msg}, column {error.colno}.") from None
    if not isinstance(document, dict):
        raise QuestionInvalid(path, 1, "is not a JSON object.")
    if _has("data", document):
        raise QuestionInvalid(path, 1, "has its own data. Remove it: the answer is the data.")
    return document


def _has(key: str, document: object) -> bool:
    if isinstance(document, dict):
        return key in document or any(_has(key, value) for value in document.values())
    return isinstance(document, list) and any(_has(key, value) for value in document)


def _values_of(key: str, document: object) -> Iterator[str]:
    """Yields each string under a key at any depth, alone or in a list."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            if name == key:
                yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))
            yield from _values_of(key, value)
    elif isinstance(document, list):
        for value in document:
            yield from _values_of(key, value)


def _meant(name: str, known: Sequence[str]) -> str:
    nearest = nearest_name(name, known)
    return (f" Did you mean {nearest}?" if nearest else "") + f" There are: {', '.join(known)}."
