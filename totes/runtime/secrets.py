"""Credentials, out of Secrets Manager and nowhere else."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from totes.errors import AccessRefused, LakeUnavailable
from totes.runtime.aws import client
from totes.runtime.redaction import remember_secret

SSL_MODES = ("prefer", "require", "verify-full")
_LAST_PORT = 65535
_DIGITS = re.compile(r"[0-9]{1,5}")
_HOST_AND_PORT = re.compile(r"[^:]*:[0-9]*|\[.*\]:[0-9]*")
_NOT_IN_HOSTS = re.compile(r"[\s\x00-\x20\x7f/\\@,;?#\[\]\"'=]")
# The other kinds of JSON values.
_KINDS = {int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "an object"}
NEEDED = ("host", "dbname", "username", "password")
_REFUSED = {
    "ResourceNotFoundException",
    "AccessDeniedException",
    "DecryptionFailure",
    "InvalidRequestException",
}


@dataclass(frozen=True)
class Credentials:
    """How to connect to one database; the fields are those of an RDS secret.

    Attributes:
        host: a host name, or the folder of a Unix socket where it begins with a slash.
        sslmode: `prefer` takes TLS where the server offers it, `require` insists on it, `verify-full` also checks
            the server's certificate against the system's authorities.
    """

    host: str
    dbname: str
    username: str
    password: str = field(repr=False)
    port: int = 5432
    sslmode: str = "prefer"


def read_credentials(secret_id: str) -> Credentials:
    """The credentials in a secret, read anew at every call so that a rotated password is never stale.

    Raises:
        AccessRefused: there is no such secret, it may not be read, or it is not what is expected.
        LakeUnavailable: Secrets Manager throttles or fails.
    """
    try:
        text = client("secretsmanager").get_secret_value(SecretId=secret_id).get("SecretString", "")
    except ClientError as error:
        raise _translated(error, secret_id) from error
    except BotoCoreError as error:
        raise LakeUnavailable(f"Secret {secret_id}: {error}.") from error
    return parse_credentials(secret_id, text)


def _translated(error: ClientError, secret_id: str) -> AccessRefused | LakeUnavailable:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _REFUSED:
        return AccessRefused(
            f"Secret {secret_id}: Secrets Manager says {code}.",
            "Check that the secret exists, has a value and is not being deleted, and that the role which asks may read "
            "it and use its key.",
        )
    return LakeUnavailable(f"Secret {secret_id}: Secrets Manager says {code}.")


def parse_credentials(secret_id: str, text: str) -> Credentials:
    """The credentials in the text of a secret.

    Raises:
        AccessRefused: it is not what is expected; the message names the fields and has none of their values.
    """
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    # An error quotes neither the text nor the error of its parser: the text is the secret.
    check_parts(secret_id, document)
    remember_secret(document["password"])
    return Credentials(
        **{name: document[name] for name in NEEDED},
        port=int(document.get("port", 5432)),
        sslmode=document.get("sslmode", "prefer"),
    )


def check_parts(secret_id: str, document: object, needed: Collection[str] = NEEDED) -> None:
    """Checks what a secret holds, or is to hold.

    Args:
        document: the secret's JSON, parsed.
        needed: the names of the parts that must be there.

    Raises:
        AccessRefused: it is not what is expected; the message names the parts and has none of their values.
    """
    if faults := find_faults(document, needed):
        raise AccessRefused(
            f"Secret {secret_id}: {'; '.join(faults)}.",
            "Store a JSON object with host, port, dbname, username and password, by `totes secret` or in Secrets "
            f"Manager; port is 5432 by default, and sslmode is one of {', '.join(SSL_MODES)}.",
        )


def find_faults(document: object, needed: Collection[str] = NEEDED) -> list[str]:
    """Returns the mistakes in a secret, part by part."""
    if not isinstance(document, dict):
        return ["not a JSON object"]
    found = {name: _fault(document.get(name)) for name in needed}
    if "host" in needed:
        found["host"] = found["host"] or _fault_of_host(document["host"])
    port = document.get("port", 5432)
    if isinstance(port, bool) or not (_DIGITS.fullmatch(str(port)) and 0 < int(port) <= _LAST_PORT):
        found["port"] = f"is not a whole number from 1 to {_LAST_PORT}"
    if document.get("sslmode", "prefer") not in SSL_MODES:
        found["sslmode"] = f"is none of {', '.join(SSL_MODES)}"
    return [f"{name} {fault}" for name, fault in found.items() if fault]


def _fault(value: object) -> str:
    if value is None or value == "":
        return "is missing"
    if not isinstance(value, str):
        return f"is {_KINDS[type(value)]}, not a text: write it in quotes"
    if "\0" in value:
        return "has a zero character in it"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "has half of a surrogate pair in it"
    return ""


def _fault_of_host(host: str) -> str:
    """Returns the mistake in a host, if any; a socket's folder may have any name."""
    if "://" in host:
        return "is a URL: store its parts"
    if host.startswith("/"):
        return ""
    if _HOST_AND_PORT.fullmatch(host):
        return "has a port in it: store that as port"
    if found := _NOT_IN_HOSTS.search(host):
        return f"has {'white space' if found[0].isspace() else 'a character'} in it that no host name has"
    try:
        host.encode("idna")
    except UnicodeError:
        return "is not a host name"
    return ""
