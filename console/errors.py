"""What ends a command, as one line on stderr and an exit code.

0: done. 1: it was tried and the outcome is bad. 2: it could not be tried: wrong arguments, or no such
deployment.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from botocore.exceptions import BotoCoreError, ClientError
from typer import TyperException

from local.deployment import DeploymentInvalid
from local.postgres import PostgresFailed
from local.state import StackAlreadyRunning
from totes.errors import TotesError, redacted

FAILED = 1
MISUSED = 2

EXPECTED = (
    TyperException,
    TotesError,
    ClientError,
    BotoCoreError,
    StackAlreadyRunning,
    PostgresFailed,
    DeploymentInvalid,
    OSError,
)


class CommandFailed(TyperException):
    """It was tried, and the outcome is bad."""

    exit_code = FAILED


class Misused(TyperException):
    """The arguments don't fit each other, or what is there."""

    exit_code = MISUSED


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """Says that there is no thing of this name, with the nearest name if one is near, and all that there are."""
    names = sorted(known)
    nearest = get_close_matches(name, names, 1)
    meant = f", did you mean {nearest[0]}?" if nearest else ";"
    return f"There is no {kind} {name}{meant} There are: {', '.join(names)}."


def exit_code(error: BaseException) -> int:
    """The exit code that goes with an expected error."""
    if isinstance(error, TyperException):
        return error.exit_code
    return MISUSED if isinstance(error, StackAlreadyRunning) else FAILED


def one_line(error: BaseException) -> str:
    """What an expected error says, without line breaks and without secrets."""
    text = error.format_message() if isinstance(error, TyperException) else str(error)
    line = redacted(re.sub(r"\s+", " ", text).strip())
    command = getattr(getattr(error, "ctx", None), "command_path", None)
    return f"{line.rstrip('.')}. See `{command} --help`." if command else line
