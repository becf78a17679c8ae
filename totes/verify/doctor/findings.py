"""The findings of checks: the state of a thing, how grave that is, and what to do about it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from totes.errors import TotesError
from totes.runtime.redaction import redacted


class Level(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    # It works, but somebody should look at it.
    WARNING = "warning"
    # The pipeline or its alerts do not work.
    FAILED = "failed"
    # The check could not look: it had no right to, or something else prevented it.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        code: the finding's name for scripts; for an error, the name of its class.
        found: the state, in a sentence without secrets.
        remedy: what to do, without secrets; empty if there is nothing to do.
        area: the part of the stage that it is about.
    """

    code: str
    level: Level
    found: str
    remedy: str = ""
    area: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "found", redacted(self.found))
        object.__setattr__(self, "remedy", redacted(self.remedy))


Check = Callable[[], Iterable[Finding]]
_BUG = "Report this line: it is a bug in `totes doctor`, and says nothing about the stage."


def ok(code: str, found: str) -> Finding:
    """Returns a finding that all is well."""
    return Finding(code, Level.OK, found)


def warning(code: str, found: str, remedy: str) -> Finding:
    """Returns a finding that somebody should look at, although everything works."""
    return Finding(code, Level.WARNING, found, remedy)


def failed(code: str, found: str, remedy: str) -> Finding:
    """Returns a finding that the pipeline or its alerts do not work."""
    return Finding(code, Level.FAILED, found, remedy)


def unknown(code: str, found: str, remedy: str = "") -> Finding:
    """Returns a finding that a check could not look."""
    return Finding(code, Level.UNKNOWN, found, remedy)


def of_error(error: TotesError, remedy: str = "") -> Finding:
    """Returns a finding about an error of the pipeline, with the error's remedy unless another one is given."""
    return Finding(type(error).__name__, Level.FAILED, error.found, remedy or error.remedy)


def guarded(check: Check) -> Iterator[Finding]:
    """Yields a check's findings. An error is a finding, too, and ends only this check."""
    try:
        yield from check()
    except TotesError as error:
        yield of_error(error)
    except Exception as error:  # noqa: BLE001 - one check must not hide the others
        yield unknown("unexpected", f"The check itself failed with {type(error).__name__}: {error}.", _BUG)


def in_area(area: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yields the findings with the area that they are about."""
    return (replace(finding, area=area) for finding in findings)
