"""Every error that the pipeline raises on purpose, grouped by what to do about it.

    TotesError
    ├── TransientError           may be gone in a moment: the state machine retries these by name
    │   ├── SourceUnreachable    totesys can't be connected to, dropped the connection, or refuses the password
    │   ├── SourceBusy           totesys is locked, overloaded or too slow
    │   ├── SourceLagging        totesys is a standby that is older than the last batch
    │   ├── WarehouseUnreachable the warehouse can't be connected to, dropped the connection, or refuses the password
    │   ├── WarehouseBusy        the warehouse is locked, overloaded, read-only or too slow
    │   ├── LakeUnavailable      S3 or Secrets Manager throttles or fails
    │   └── BatchContended       another execution committed the same batch first
    ├── TerminalError            stays until somebody acts: no retry, straight to Catch
    │   ├── InputRefused         the execution's input is invalid
    │   ├── SettingsInvalid      the function's environment is incomplete
    │   ├── AccessDenied         a missing grant, database, permission, bucket or secret; a pooler that refuses; TLS
    │   ├── LogBroken            a log has a gap, or two of them contradict each other
    │   ├── ObjectMissing        a manifest names an object that is not there
    │   ├── CorruptObject        an object differs from what its manifest says
    │   ├── VersionUnknown       a newer release than this one wrote a manifest or the warehouse
    │   ├── ContractInvalid      declarations in schemas/ are wrong, or the warehouse differs (totes.contracts)
    │   ├── DeletionsHeld        more rows of totesys are gone than the pipeline deletes without confirmation
    │   ├── BackfillOutdated     totesys or the landing zone has changed since a backfill was planned
    │   ├── DiskFull             a batch does not fit on the disk of the function that moves it
    │   ├── DatabaseFailed       a database returned an error that no other class names
    │   └── UnexpectedError      anything else: most likely a bug
    └── ContractViolation        the data does not match its declaration in schemas/

A person reads the message in an e-mail. It says what was found, what was expected, where, and what to do.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

from totes.runtime.redaction import redacted

# A message names at most 5 of a kind, and counts all.
SHOWN = 5
# Step Functions cuts a cause at 32,768 characters, and half a JSON document can't be read.
_LONGEST = 4_000
# Labels for the tables and the remedy: Lambda and Step Functions pass an error on as one text.
_TABLES = "\nTables: "
_REMEDY = "\nRemedy: "
_WAIT = "Nothing to do unless it lasts: the next execution tries again."
# The remedy if an object is missing from the lake.
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
        """Adds the tables that the error is about and returns it: the same error of another table has its own mail."""
        self.tables = tuple(sorted(tables))
        return self

    def labelled(self) -> Self:
        """Labels tables and remedy in the error's text and returns the error; `split_labels` splits the text again."""
        # A message of PostgreSQL or AWS in `found` may contain the label by chance.
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
    """Stays until somebody acts."""


class InputRefused(TerminalError):
    """The execution's input is invalid."""


class SettingsInvalid(TerminalError):
    """The function's environment is incomplete."""


class AccessDenied(TerminalError):
    """A grant, database, permission, bucket or secret is missing, a secret is malformed, or a pooler refuses access.

    Also raised if a server can't prove that it is the right one: it offers no TLS, or its certificate is not accepted.
    """


class LogBroken(TerminalError):
    """A log has a gap, or two logs contradict each other: the landed, processed or loaded batches, or a backfill's."""


class ObjectMissing(TerminalError):
    """A manifest names an object that is not there."""


class CorruptObject(TerminalError):
    """An object differs from what its manifest says."""


class VersionUnknown(TerminalError):
    """A manifest or a warehouse was written by a newer release than this one."""


class DiskFull(TerminalError):
    """A batch does not fit on the disk of the function that moves it."""


class DatabaseFailed(TerminalError):
    """A database returned an error that no other class names."""


class DeletionsHeld(TerminalError):
    """More rows of totesys are gone than the pipeline deletes without confirmation."""


class BackfillOutdated(TerminalError):
    """totesys or the landing zone has changed since a backfill was planned."""


class UnexpectedError(TerminalError):
    """Anything else: most likely a bug."""


class ContractViolation(TotesError):
    """The data does not match its declaration in schemas/."""


class Labelled(NamedTuple):
    """The parts of a labelled error's text; `remedy` and `tables` are empty if the text has no such label."""

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
    """Cuts a text that has more than `longest` characters. Redact it first: half a secret can't be recognised."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"
