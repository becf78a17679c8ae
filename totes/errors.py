"""Every error that the pipeline raises on purpose, grouped by what to do about it.

    TotesError
    ├── TransientError           may be gone in a moment: the state machine retries these by name
    │   ├── SourceUnreachable    totesys can't be connected to, dropped the connection, or refuses the password
    │   ├── SourceBusy           totesys is locked, overloaded or too slow
    │   ├── SourceLagging        totesys is a standby that is older than the last batch
    │   ├── WarehouseUnreachable the same for the warehouse
    │   ├── WarehouseBusy
    │   ├── LakeUnavailable      S3 or Secrets Manager throttles or fails
    │   └── BatchContended       another execution committed the same batch first
    ├── TerminalError            stays until somebody does something: straight to Catch
    │   ├── InputRefused         the execution's input holds what it must not
    │   ├── SettingsInvalid      the function's environment is incomplete
    │   ├── AccessDenied        a missing grant, database, permission, bucket or secret; a pooler that refuses; TLS
    │   ├── LogBroken            a log has a gap, or two of them contradict each other
    │   ├── ObjectMissing        a manifest names an object that is not there
    │   ├── CorruptObject        an object is not what its manifest says
    │   ├── VersionUnknown       written by a newer release than this one
    │   ├── ContractInvalid      declarations in schemas/ are wrong, or the warehouse differs (totes.contracts)
    │   ├── DeletionsHeld        more rows of totesys are gone than may go without confirmation
    │   ├── BackfillOutdated     totesys or the landing zone has changed since a backfill was planned
    │   ├── DiskFull             a batch does not fit on the disk of the function that moves it
    │   ├── DatabaseFailed       a database refused in a way that no other class names
    │   └── UnexpectedError           anything else: most likely a bug
    └── ContractViolation           the data is not what its declaration in schemas/ says

The message is made for the person who reads it in an e-mail: what was found, what was expected, where, what to do.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

from totes.runtime.redaction import redacted

# So many of a kind a message names; it counts them all.
SHOWN = 5
# Step Functions cuts a cause at 32,768 characters, and half a JSON document can't be read.
_LONGEST = 4_000
# Mark the tables and the remedy where an error travels as one text: through Lambda and Step Functions.
_TABLES = "\nTables: "
_REMEDY = "\nRemedy: "
_WAIT = "Nothing to do unless it lasts: the next execution tries again."
# An object of the lake is not there.
RESTORE = "Restore it in S3 (the buckets are versioned); the next execution resumes from there."


class TotesError(Exception):
    """Base of all errors that are raised on purpose.

    Args:
        found: what was found, what was expected and where, in one or two sentences.
        remedy: the one thing to do about it.
    """

    def __init__(self, found: str, remedy: str) -> None:
        self.found = shortened(redacted(found), _LONGEST)
        self.remedy = remedy
        self.tables: tuple[str, ...] = ()
        super().__init__(f"{self.found} {remedy}")

    def about(self, tables: Iterable[str]) -> Self:
        """Notes the tables that the error is about and returns it: the same error of another table has its own mail."""
        self.tables = tuple(sorted(tables))
        return self

    def labelled(self) -> Self:
        """Labels tables and remedy in the error's text and returns the error; `split_labels` finds them again."""
        # Foreign text in `found` may end with that label.
        tables = f"{_TABLES}{', '.join(self.tables)}" if self.tables or _TABLES in self.found else ""
        self.args = (f"{self.found}{tables}{_REMEDY}{self.remedy}",)
        return self


class TransientError(TotesError):
    """May be gone in a moment; safe to try again."""

    def __init__(self, found: str, remedy: str = _WAIT) -> None:
        super().__init__(found, remedy)


class SourceUnreachable(TransientError):
    """totesys can't be connected to, dropped the connection, or refuses the password, which may be being rotated."""


class SourceBusy(TransientError):
    """totesys is locked, overloaded or too slow."""


class SourceLagging(TransientError):
    """totesys is a standby that is older than the last batch."""


class WarehouseUnreachable(TransientError):
    """The warehouse can't be connected to, dropped the connection, or refuses the password."""


class WarehouseBusy(TransientError):
    """The warehouse is locked, overloaded, read-only or too slow."""


class LakeUnavailable(TransientError):
    """S3 or Secrets Manager throttles or fails."""


class BatchContended(TransientError):
    """Another execution committed the same batch first."""


class TerminalError(TotesError):
    """Stays until somebody does something."""


class InputRefused(TerminalError):
    """The execution's input holds what it must not."""


class SettingsInvalid(TerminalError):
    """The function's environment is incomplete."""


class AccessDenied(TerminalError):
    """A grant, database, permission, bucket or secret is missing, a secret is malformed, or a pooler refuses.

    Or a database's server is not the right one: it offers no TLS, or its certificate is not accepted.
    """


class LogBroken(TerminalError):
    """A log has a gap, or two of them contradict each other: landed, processed, loaded, or a backfill's plan."""


class ObjectMissing(TerminalError):
    """A manifest names an object that is not there."""


class CorruptObject(TerminalError):
    """An object is not what its manifest says."""


class VersionUnknown(TerminalError):
    """A manifest or a warehouse was written by a newer release than this one."""


class DiskFull(TerminalError):
    """A batch does not fit on the disk of the function that moves it."""


class DatabaseFailed(TerminalError):
    """A database refused in a way that no other class names."""


class DeletionsHeld(TerminalError):
    """More rows of totesys are gone than may go without confirmation."""


class BackfillOutdated(TerminalError):
    """totesys or the landing zone is not any more what a backfill was planned for."""


class UnexpectedError(TerminalError):
    """Anything else: most likely a bug."""


class ContractViolation(TotesError):
    """The data is not what its declaration in schemas/ says."""


class Labelled(NamedTuple):
    """What a labelled error's text says; `remedy` and `tables` are empty if they are not labelled."""

    found: str
    remedy: str
    tables: str


def split_labels(text: str) -> Labelled:
    """Splits a labelled error's text into what was found, the remedy, and the tables that it is about."""
    found, label, remedy = text.rpartition(_REMEDY)
    if not label:
        return Labelled(text, "", "")
    what, named, tables = found.rpartition(_TABLES)
    return Labelled(what, remedy, tables) if named and "\n" not in tables else Labelled(found, remedy, "")


def shortened(text: str, longest: int) -> str:
    """`text`, cut where it has more than `longest` characters. Redact first: half a secret is not known for one."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"
