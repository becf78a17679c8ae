"""What ends a command, as one line on stderr and an exit code.

0: done. 1: it was tried and the outcome is bad. 2: it could not be tried: wrong arguments, or no such
deployment.
"""

import re

from botocore.exceptions import BotoCoreError, ClientError
from typer import TyperException

from local.deployment import DeploymentInvalid
from local.postgres import PostgresFailed
from local.state import StackAlreadyRunning
from totes.errors import TotesError
from totes.redaction import redacted, visible

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


def exit_code(error: BaseException) -> int:
    """The exit code that goes with an expected error."""
    if isinstance(error, TyperException):
        return error.exit_code
    return MISUSED if isinstance(error, StackAlreadyRunning) else FAILED


def one_line(error: BaseException) -> str:
    """What an expected error says, without line breaks and without secrets."""
    text = error.format_message() if isinstance(error, TyperException) else str(error)
    line = visible(re.sub(r"[ \t\n]+", " ", redacted(text)).strip())
    command = getattr(getattr(error, "ctx", None), "command_path", None)
    return f"{line.rstrip('.')}. See `{command} --help`." if command else line
