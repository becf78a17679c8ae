"""What a check finds: how things are, how grave that is, and what to do about it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from totes.errors import TotesError
from totes.runtime.redaction import redacted


class Level(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    # It works, and somebody should look.
    WARNING = "warning"
    # The pipeline or its alerts do not work.
    FAILED = "failed"
    # Nobody knows: the check had no right to look, or something else kept it from looking.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One thing that a check has looked at.

    Attributes:
        code: names the finding for scripts; an error's is the name of its class.
        found: how it is, in a sentence, without secrets.
        remedy: what to do, without secrets; empty if nothing.
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
_BUG = "Report it with this line: it is a bug of `totes doctor`, and says nothing about the stage."


def ok(code: str, found: str) -> Finding:
    """Returns a finding that all is well."""
    return Finding(code, Level.OK, found)


def warning(code: str, found: str, remedy: str) -> Finding:
    """Returns a finding that somebody should look at, though everything works."""
    return Finding(code, Level.WARNING, found, remedy)


def failed(code: str, found: str, remedy: str) -> Finding:
    """Returns a finding that the pipeline or its alerts do not work."""
    return Finding(code, Level.FAILED, found, remedy)


def unknown(code: str, found: str, remedy: str = "") -> Finding:
    """Returns a finding that a check could not look."""
    return Finding(code, Level.UNKNOWN, found, remedy)


def of_error(error: TotesError, remedy: str = "") -> Finding:
    """Returns an error of the pipeline as a finding; the remedy is the error's own unless another one is given."""
    return Finding(type(error).__name__, Level.FAILED, error.found, remedy or error.remedy)


def guarded(check: Check) -> Iterator[Finding]:
    """Yields what a check finds; an error ends this check alone, and is a finding too."""
    try:
        yield from check()
    except TotesError as error:
        yield of_error(error)
    except Exception as error:  # noqa: BLE001 - one check must not hide the others
        yield unknown("unexpected", f"The check itself failed with {type(error).__name__}: {error}.", _BUG)


def in_area(area: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yields the findings with the area that they are about."""
    return (replace(finding, area=area) for finding in findings)
