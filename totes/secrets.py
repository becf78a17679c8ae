"""Credentials, out of Secrets Manager and nowhere else."""

import json
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from totes.aws import client
from totes.errors import AccessRefused, LakeUnavailable
from totes.redaction import remember_secret

SSL_MODES = ("prefer", "require", "verify-full")
_LAST_PORT = 65535
_NEEDED = ("host", "dbname", "username", "password")
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
        raise LakeUnavailable(f"Secret {secret_id}: {error}.", "Nothing to do unless it lasts.") from error
    return parse_credentials(secret_id, text)


def _translated(error: ClientError, secret_id: str) -> AccessRefused | LakeUnavailable:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _REFUSED:
        return AccessRefused(
            f"Secret {secret_id}: Secrets Manager says {code}.",
            "Check that the secret has a value and that the function's role may read it.",
        )
    return LakeUnavailable(
        f"Secret {secret_id}: Secrets Manager says {code}.",
        "Nothing to do unless it lasts: the next run tries again.",
    )


def parse_credentials(secret_id: str, text: str) -> Credentials:
    """The credentials in the text of a secret.

    Raises:
        AccessRefused: it is not what is expected; the message does not have the text.
    """
    try:
        document = json.loads(text)
        missing = [name for name in _NEEDED if not document.get(name)]
    except (ValueError, AttributeError):
        # The text is never quoted: it is the secret.
        document, missing = {}, list(_NEEDED)
    sslmode = document.get("sslmode", "prefer")
    port = str(document.get("port", 5432))
    if missing or sslmode not in SSL_MODES or not (port.isdecimal() and 0 < int(port) <= _LAST_PORT):
        wrong = f"lacks {', '.join(missing)}" if missing else "has a wrong port or sslmode"
        raise AccessRefused(
            f"Secret {secret_id} {wrong}.",
            "Store JSON with host, port, dbname, username and password; "
            f"sslmode is optional, one of {', '.join(SSL_MODES)}.",
        ) from None
    remember_secret(document["password"])
    return Credentials(
        host=document["host"],
        dbname=document["dbname"],
        username=document["username"],
        password=document["password"],
        port=int(port),
        sslmode=sslmode,
    )
