"""Reads and checks credentials. They come from Secrets Manager and nowhere else.

A stage's secret has all fields, or it names another secret, such as one that RDS manages. Then the other secret has the
login, and the stage's secret has the rest.
"""

import ipaddress
import json
import re
import ssl
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from totes.errors import AccessDenied, LakeUnavailable, TotesError
from totes.runtime.aws import client
from totes.runtime.redaction import remember_secret

SSL_MODES = ("prefer", "require", "verify-ca", "verify-full")
_LAST_PORT = 65535
_DIGITS = re.compile(r"[0-9]{1,5}")
_HOST_AND_PORT = re.compile(r"[^:]*:[0-9]*|\[.*\]:[0-9]*")
_NOT_IN_HOSTS = re.compile(r"[\s\x00-\x20\x7f/\\@,;?#\[\]\"'=]")
# The other kinds of JSON values.
_KINDS = {int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "an object"}
NEEDED = ("host", "dbname", "username", "password")
_KNOWN = (*NEEDED, "port", "sslmode", "ca")
# The field that a stage's secret has in place of a login: the ARN of the secret that has the login.
MANAGED = "secret"
_LOGIN = ("username", "password")
_CURRENT, _PENDING = "AWSCURRENT", "AWSPENDING"
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
        host: a host name, or the folder of a Unix socket if it begins with a slash.
        sslmode: `prefer` uses TLS if the server offers it. `require` insists on TLS. `verify-ca` also checks that `ca`
            has signed the server's certificate. `verify-full` also checks that it names the host. Empty if the secret
            has no mode.
        ca: certificates, as PEM, of the trusted authorities; empty: the system's and RDS's.
        secret_id: the secret from which the credentials were read; empty if they are from none.
    """

    host: str
    dbname: str
    username: str
    password: str = field(repr=False)
    port: int = 5432
    sslmode: str = ""
    ca: str = field(default="", repr=False)
    secret_id: str = field(default="", compare=False)

    @property
    def tls(self) -> str:
        """Returns the mode in force. The default is `prefer` on this machine, where nobody can listen on the way."""
        return self.sslmode or ("prefer" if self.is_local and not self.ca else "verify-full")

    @property
    def is_local(self) -> bool:
        """Returns whether the server is on this machine for sure: a resolver decides about any other name."""
        if self.is_socket or self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_socket(self) -> bool:
        """Returns whether the host is the folder of a Unix socket."""
        return self.host.startswith("/")


def read_credentials(secret_id: str) -> Credentials:
    """Reads the credentials in a secret, again at each call: a cached password could be from before a rotation.

    Raises:
        AccessDenied: there is no such secret, it may not be read, or it is malformed.
        LakeUnavailable: Secrets Manager throttles or fails.
    """
    return _read(secret_id, _CURRENT)


def other_versions(credentials: Credentials) -> Iterator[Credentials]:
    """Yields the secret's current and pending credentials, if they differ from these.

    A rotation writes the new password into the secret as pending, then changes it in the database, and makes it current
    at the end. Credentials that can't be read are left out: the caller has an error of its own.
    """
    tried = {credentials}
    for version in (_CURRENT, _PENDING):
        with suppress(TotesError):
            found = _read(credentials.secret_id, version) if credentials.secret_id else credentials
            if found not in tried:
                tried.add(found)
                yield found


def _read(secret_id: str, version: str) -> Credentials:
    document = parse_object(secret_id, _text(secret_id, _CURRENT))
    if MANAGED in document:
        check_managed(secret_id, document)
        login_id = document[MANAGED]
        document = _with_login(secret_id, document, login_id, parse_object(login_id, _text(login_id, version)))
    elif version != _CURRENT:
        document = parse_object(secret_id, _text(secret_id, version))
    return _credentials(secret_id, document)


def _with_login(secret_id: str, beside: dict[str, Any], login_id: str, document: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of both secrets; a secret that Secrets Manager rotates may repeat fields of the stage's."""
    beside = {name: value for name, value in beside.items() if name != MANAGED}
    if twice := [name for name, value in beside.items() if str(document.get(name, value)) != str(value)]:
        raise AccessDenied(
            f"Secret {secret_id} and secret {login_id} have different values of {', '.join(twice)}.",
            "Correct the one that is wrong: in serverless.yml or the deployment's TOTES_… variables, or in the secret "
            "that is named there.",
        )
    return document | beside


def _text(secret_id: str, version: str) -> str:
    try:
        found = client("secretsmanager").get_secret_value(SecretId=secret_id, VersionStage=version)
    except ClientError as error:
        raise _translated(error, secret_id) from error
    except BotoCoreError as error:
        raise LakeUnavailable(f"Secret {secret_id}: {error}.") from error
    return str(found.get("SecretString", ""))


def _translated(error: ClientError, secret_id: str) -> AccessDenied | LakeUnavailable:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _REFUSED:
        return AccessDenied(
            f"Secret {secret_id}: Secrets Manager says {code}.",
            "Check that the secret exists, has a value and is not being deleted, and that the caller's role may read "
            "it and use its key.",
        )
    return LakeUnavailable(f"Secret {secret_id}: Secrets Manager says {code}.")


def parse_object(secret_id: str, text: str) -> dict[str, Any]:
    """Parses a secret's text, a JSON object.

    Raises:
        AccessDenied: it is no JSON object, or has a field twice. The error quotes neither the text nor the parser's
            message: the text is the secret.
    """
    twice: set[str] = set()

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice.update(name for name in names if names.count(name) > 1)
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=once)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _malformed(secret_id, ["not a JSON object"])
    if twice:
        # The name is shown only if it is one of ours: any other may be a part of the secret that lost its quotes.
        raise _malformed(secret_id, [f"{name} is there twice" for name in _KNOWN if name in twice] or ["a field twice"])
    return document


def parse_credentials(secret_id: str, text: str) -> Credentials:
    """Returns the credentials in the text of a secret.

    Raises:
        AccessDenied: it is malformed; the message names the fields and has none of their values.
    """
    return _credentials(secret_id, parse_object(secret_id, text))


def _credentials(secret_id: str, document: dict[str, Any]) -> Credentials:
    check_parts(secret_id, document)
    remember_secret(document["password"])
    return Credentials(
        **{name: document[name] for name in NEEDED},
        port=int(document.get("port", 5432)),
        sslmode=document.get("sslmode", ""),
        ca=document.get("ca", ""),
        secret_id=secret_id,
    )


def check_managed(secret_id: str, document: dict[str, Any]) -> None:
    """Checks a secret that names another one.

    Raises:
        AccessDenied: it is malformed.
    """
    found = [f"{MANAGED} {fault}" for fault in [_fault(document[MANAGED])] if fault]
    found += [f"{name} is beside {MANAGED}, which has the login" for name in _LOGIN if name in document]
    found += find_faults(document, ("host", "dbname")) or _faults_together(document)
    if found:
        raise AccessDenied(
            f"Secret {secret_id}: {'; '.join(found)}.",
            "Give the deployment host, port, dbname and sslmode beside the ARN of the secret that RDS manages: "
            "docs/deploy.md.",
        )


def check_parts(secret_id: str, document: dict[str, Any], needed: Collection[str] = NEEDED) -> None:
    """Checks the content of a secret, before it is stored or after it was read.

    Args:
        document: the secret's JSON, parsed.
        needed: the names of the fields that must be there.

    Raises:
        AccessDenied: it is malformed; the message names the fields and has none of their values.
    """
    if faults := find_faults(document, needed) or _faults_together(document):
        raise _malformed(secret_id, faults)


def _malformed(secret_id: str, faults: list[str]) -> AccessDenied:
    return AccessDenied(
        f"Secret {secret_id}: {'; '.join(faults)}.",
        "Store a JSON object with host, port, dbname, username and password, by `totes secret` or in Secrets "
        f"Manager; port is 5432 by default, and sslmode is one of {', '.join(SSL_MODES)}.",
    )


def find_faults(document: dict[str, Any], needed: Collection[str] = NEEDED) -> list[str]:
    """Returns the mistakes in a secret, field by field."""
    found = {name: _fault(document.get(name)) for name in needed}
    if "host" in needed:
        found["host"] = found["host"] or _fault_of_host(document["host"])
    port = document.get("port", 5432)
    if isinstance(port, bool) or not (_DIGITS.fullmatch(str(port)) and 0 < int(port) <= _LAST_PORT):
        found["port"] = f"is not a whole number from 1 to {_LAST_PORT}"
    if "sslmode" in document and document["sslmode"] not in SSL_MODES:
        found["sslmode"] = f"is none of {', '.join(SSL_MODES)}"
    if "ca" in document:
        found["ca"] = _fault_of_authority(document["ca"])
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


def _faults_together(document: dict[str, Any]) -> list[str]:
    """Returns the mistakes in how the fields fit together."""
    mode = document.get("sslmode")
    if mode == "verify-ca" and "ca" not in document:
        # With the system's authorities, anybody's certificate would pass.
        return ["ca is missing, and sslmode verify-ca checks nothing else"]
    if mode in ("prefer", "require") and "ca" in document:
        return [f"ca is there, and sslmode {mode} does not check it"]
    return []


def _fault_of_authority(ca: object) -> str:
    if fault := _fault(ca):
        return fault
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=str(ca))
    except (ssl.SSLError, ValueError):
        return "holds no certificates as PEM"
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
