"""The errors that end a command. Each is one line on stderr and an exit code.

0: success. 1: the command ran and failed. 2: the command could not run: wrong arguments, or no such deployment.
130: Ctrl-C interrupted it. If a command does not handle Ctrl-C, typer returns 130 without a message.
"""

import os
import re
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from typer import TyperException

from local.aws.deployment import DeploymentInvalid
from local.postgres.server import PostgresFailed
from local.state import StackAlreadyRunning
from totes.contracts.files import nearest_name
from totes.errors import TotesError
from totes.runtime.redaction import redacted, visible

FAILED = 1
MISUSED = 2
INTERRUPTED = 130

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

_LOG_IN = "Log in to AWS, or name another profile with --profile."
_NOT_THERE = "Check --stage, --region and --profile: is the stage deployed there?"
_NO_WAY = "Check the network and the proxy. For the local stack, check that `totes up` still runs."
# The remedy for each error of AWS or its SDK, by error code or class.
_REMEDIES = {
    **dict.fromkeys(
        (
            *("ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "InvalidAccessKeyId"),
            *("UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException"),
            *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"),
            *("SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError"),
        ),
        _LOG_IN,
    ),
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "AuthorizationError"),
        "docs/deploy.md lists the rights that each command needs.",
    ),
    **dict.fromkeys(("StateMachineDoesNotExist", "NoSuchBucket", "ResourceNotFoundException"), _NOT_THERE),
    **dict.fromkeys(
        (
            *("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"),
            *("ProxyConnectionError", "SSLError"),
        ),
        _NO_WAY,
    ),
}


# Rewords pydantic's messages about arguments, which typer passes on.
_OURS = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "it must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "it must be a number",
    "Input should be greater than or equal to": "it must be at least",
    "Input should be less than or equal to": "it must be at most",
}


class CommandFailed(TyperException):
    """The command ran and failed."""

    exit_code = FAILED


class Misused(TyperException):
    """The arguments contradict each other, or name something that does not exist."""

    exit_code = MISUSED


class Interrupted(TyperException):
    """Ctrl-C interrupted the command. The message says what still runs and what was done."""

    exit_code = INTERRUPTED


@contextmanager
def interrupted_as(said: str) -> Iterator[None]:
    """Raises Interrupted with this message on Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(said) from None


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns the error message for an unknown name: the nearest known name, if any, and all known names."""
    names = sorted(known)
    nearest = nearest_name(name, names)
    meant = f" Did you mean {nearest}?" if nearest else ""
    return f"There is no {kind} {name}.{meant} There are: {', '.join(names)}."


def exit_code(error: BaseException) -> int:
    """Returns the exit code for an expected error."""
    if isinstance(error, TyperException):
        return error.exit_code
    return MISUSED if isinstance(error, StackAlreadyRunning) else FAILED


def one_line(error: BaseException) -> str:
    """Returns an expected error's message without line breaks or secrets."""
    line = _without_breaks(_text(error))
    if remedy := _remedy(error):
        return f"{line.rstrip('.')}. {remedy}"
    command = getattr(getattr(error, "ctx", None), "command_path", None)
    stop = "" if line.endswith("?") else "."
    return f"{line.rstrip('.')}{stop} See `{command} --help`." if command else line


def unexpected(error: BaseException) -> str:
    """Returns an unexpected error's message, and writes its traceback to the file named in the message."""
    said = f"{type(error).__name__}: {_without_breaks(str(error)) or 'no message'}"
    try:
        descriptor, path = tempfile.mkstemp(prefix="totes-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(redacted("".join(traceback.format_exception(error))))
    except OSError:
        return f"{said.rstrip('.')}. This is a bug; its traceback could not be written."
    return f"{said.rstrip('.')}. This is a bug; its traceback is in {path}."


def _text(error: BaseException) -> str:
    if isinstance(error, TyperException):
        return _in_our_words(error.format_message())
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error)


def _in_our_words(complaint: str) -> str:
    """Returns an error about an argument, reworded from the parsing library's message."""
    for foreign, ours in _OURS.items():
        complaint = complaint.replace(foreign, ours)
    found = re.search(r"'(.*)' is not one of (.*)$", complaint)
    nearest = nearest_name(found[1], re.findall(r"'([^']*)'", found[2])) if found else None
    return f"{complaint.rstrip('.')}. Did you mean {nearest}?" if nearest else complaint


def _without_breaks(text: str) -> str:
    # Redacts first: a known secret may contain a line break.
    return visible(re.sub(r"[ \t\n]+", " ", redacted(text)).strip())


def _remedy(error: BaseException) -> str:
    if isinstance(error, ClientError):
        return _REMEDIES.get(error.response.get("Error", {}).get("Code", ""), "")
    return _REMEDIES.get(type(error).__name__, "") if isinstance(error, BotoCoreError) else ""
