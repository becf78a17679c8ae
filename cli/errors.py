"""The errors that end a command, each as one line on stderr and an exit code.

0: done. 1: it was tried and the outcome is bad. 2: it could not be tried: wrong arguments, or no such
deployment. 130: Ctrl-C ended it before its end; typer returns that by itself, silently, where a command says nothing.
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
_NO_WAY = "Check the network, and the proxy if you have one; for the local stack, whether `totes up` still runs."
# What to do about an error of AWS or of its SDK, by code or class.
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
        "docs/deploy.md says which rights each command needs.",
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


# What pydantic says of an argument, for typer.
_OURS = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "it must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "it must be a number",
    "Input should be greater than or equal to": "it must be at least",
    "Input should be less than or equal to": "it must be at most",
}


class CommandFailed(TyperException):
    """It was tried, and the outcome is bad."""

    exit_code = FAILED


class Misused(TyperException):
    """The arguments don't fit each other, or what is there."""

    exit_code = MISUSED


class Interrupted(TyperException):
    """Ctrl-C ended the command before its end; the message says what continues and what is left."""

    exit_code = INTERRUPTED


@contextmanager
def interrupted_as(said: str) -> Iterator[None]:
    """Raises Interrupted with these words on Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(said) from None


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """Says that there is no thing of this name, and names the nearest one, if any, and all of them."""
    names = sorted(known)
    nearest = nearest_name(name, names)
    meant = f" Did you mean {nearest}?" if nearest else ""
    return f"There is no {kind} {name}.{meant} There are: {', '.join(names)}."


def exit_code(error: BaseException) -> int:
    """The exit code that goes with an expected error."""
    if isinstance(error, TyperException):
        return error.exit_code
    return MISUSED if isinstance(error, StackAlreadyRunning) else FAILED


def one_line(error: BaseException) -> str:
    """What an expected error says, without line breaks and without secrets."""
    line = _without_breaks(_text(error))
    if remedy := _remedy(error):
        return f"{line.rstrip('.')}. {remedy}"
    command = getattr(getattr(error, "ctx", None), "command_path", None)
    stop = "" if line.endswith("?") else "."
    return f"{line.rstrip('.')}{stop} See `{command} --help`." if command else line


def unexpected(error: BaseException) -> str:
    """Returns an unexpected error's message, and writes its traceback to a file that the message names."""
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
    """Returns a complaint about an argument without the words of the library that checks them."""
    for foreign, ours in _OURS.items():
        complaint = complaint.replace(foreign, ours)
    found = re.search(r"'(.*)' is not one of (.*)$", complaint)
    nearest = nearest_name(found[1], re.findall(r"'([^']*)'", found[2])) if found else None
    return f"{complaint.rstrip('.')}. Did you mean {nearest}?" if nearest else complaint


def _without_breaks(text: str) -> str:
    # Redacted first: a secret that is known may have a line break in it.
    return visible(re.sub(r"[ \t\n]+", " ", redacted(text)).strip())


def _remedy(error: BaseException) -> str:
    if isinstance(error, ClientError):
        return _REMEDIES.get(error.response.get("Error", {}).get("Code", ""), "")
    return _REMEDIES.get(type(error).__name__, "") if isinstance(error, BotoCoreError) else ""
