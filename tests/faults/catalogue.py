"""The bookkeeping: what each row of the catalogue promises, and what its tests saw."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.faults.outcome import Outcome

NUMBERS = tuple(f"F{number:02d}" for number in range(1, 74))
RESULTS = Path(__file__).parents[2] / "build" / "faults.json"


@dataclass(frozen=True)
class Part:
    """The declaration of one test function."""

    file: str
    number: str
    what: str
    outcome: Outcome
    because: str = ""
    nearest: str = ""

    def to_send(self, seen: Outcome | None) -> dict[str, str]:
        """Returns the part and its results as plain texts, which can be sent to another process."""
        return {name: str(value) for name, value in asdict(self).items()} | {"seen": str(seen or "")}

    @classmethod
    def received(cls, sent: Mapping[str, str]) -> tuple[Self, Outcome | None]:
        """Returns the part and its results, from the texts of `to_send`."""
        texts = dict(sent)
        seen, outcome = texts.pop("seen"), Outcome(texts.pop("outcome"))
        return cls(outcome=outcome, **texts), Outcome(seen) if seen else None


@dataclass
class Row:
    """A row of the catalogue. It has one or more test functions with their parameters."""

    number: str
    fault: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    because: list[str] = field(default_factory=list)
    nearest: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    tests: int = 0
    failed: list[str] = field(default_factory=list)
    not_yet: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.tests > 0 and not (self.failed or self.not_yet)


class Catalogue:
    """The rows that ran, by number."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def note(self, report: pytest.TestReport, part: Part, seen: Outcome | None) -> None:
        """Takes the report of one phase of one test."""
        row = self.rows.setdefault(part.number, Row(part.number))
        for known, said in (
            (row.fault, part.what),
            (row.expected, part.outcome),
            (row.because, part.because),
            (row.nearest, part.nearest),
            (row.files, part.file),
        ):
            _add(known, said)
        if report.when == "call":
            row.tests += 1
            _add(row.seen, seen or "")
        if report.failed:
            _add(row.failed, report.nodeid)
        elif report.skipped:
            reason = getattr(report, "wasxfail", None)
            _add(row.not_yet if reason is not None else row.skipped, reason or str(report.longrepr))

    @property
    def complete(self) -> bool:
        """Returns whether every row was run."""
        return all(number in self.rows and self.rows[number].tests for number in NUMBERS)

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows.values())

    def write(self) -> None:
        """Writes build/faults.json."""
        RESULTS.parent.mkdir(exist_ok=True)
        rows = [asdict(self.rows[number]) | {"passed": self.rows[number].passed} for number in sorted(self.rows)]
        RESULTS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_results() -> Mapping[str, Row]:
    """Returns the rows of the last run; empty if there was none."""
    if not RESULTS.exists():
        return {}
    documents = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {row["number"]: Row(**{name: row[name] for name in row if name != "passed"}) for row in documents}


def _add(known: list[str], said: str) -> None:
    if said and str(said) not in known:
        known.append(str(said))
