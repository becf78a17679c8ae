"""Sets up TLS to a database. Until the server is accepted, as sslmode demands, it gets only the request for TLS.

pg8000 could ask for TLS itself, but does not report why the attempt failed.
"""

import socket
import ssl
import struct
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from asn1crypto.x509 import Certificate  # type: ignore[import-untyped]

from totes.errors import AccessDenied, shortened
from totes.runtime.secrets import Credentials

# The roots of RDS's certificates, which no system includes. tools/certificates.py writes the file.
RDS_ROOTS = Path(__file__).with_name("rds-roots.pem")
_REQUEST = struct.pack("!ii", 8, 80877103)
_LOOK_SECONDS = 10
_LONGEST = 300
_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64
_REMEDIES = {
    _EXPIRED: "Renew the certificate on the server.",
    _NOT_YET_VALID: "Correct the server's clock, or renew its certificate.",
    **dict.fromkeys(
        (_OTHER_HOST, _OTHER_ADDRESS),
        "Put a name that the certificate is for into the secret as host, or have a certificate made for this host.",
    ),
}
_UNKNOWN_AUTHORITY = (
    "If it is the right server, put its authority's certificate into the secret: `totes secret {secret} --ca FILE`."
)
_UNNAMED = (
    "The secret has no sslmode, which now means verify-full. Up to release 0.1 it meant prefer, which sends the "
    "password to any server that answers. If nobody can intercept the connection, `totes secret {secret} --sslmode "
    "prefer` keeps that."
)


def encrypted(plain: socket.socket, credentials: Credentials, name: str, secret: str) -> socket.socket:
    """Returns the socket for the session, encrypted if the credentials ask for it and the server offers it.

    Args:
        plain: the connected socket. The caller must not use it afterwards.
        name: the database's name, for errors.
        secret: the name of its credentials in `totes secret`, for remedies.

    Raises:
        AccessDenied: the server offers no TLS although the mode insists on it, or its certificate is not accepted.
        OSError: the connection broke, or the other side does not speak TLS.
    """
    mode = credentials.tls
    if mode == "prefer" and credentials.is_socket:
        return plain
    if _offers_tls(plain):
        try:
            return _context(mode, credentials.ca).wrap_socket(plain, server_hostname=credentials.host)
        except ssl.SSLCertVerificationError as error:
            raise AccessDenied(
                f"The certificate of {name} at {credentials.host}:{credentials.port} is not accepted: "
                f"{error.verify_message.rstrip('.')}{_shown(credentials)}.",
                _remedy(_REMEDIES.get(error.verify_code, _UNKNOWN_AUTHORITY), credentials, secret),
            ) from error
    if mode == "prefer":
        return plain
    raise AccessDenied(
        f"{name} offers no TLS at {credentials.host}:{credentials.port}, and sslmode {mode} insists on it.",
        _remedy("Switch TLS on, on the server or in the pooler before it.", credentials, secret),
    )


def weakness(credentials: Credentials) -> str:
    """Returns the weakness that the mode leaves to a listener or an impostor; empty if it leaves none."""
    if credentials.is_local or credentials.tls == "verify-full":
        return ""
    allowed = {
        "prefer": "the password goes to any server that answers at this address, in plain text if it offers no TLS",
        "require": "no certificate is checked, so the password goes to any server that answers at this address",
        "verify-ca": "the certificate's host is not checked, so the password goes to any server of the secret's ca",
    }
    return f"sslmode {credentials.tls} for {credentials.host}: {allowed[credentials.tls]}"


def _offers_tls(plain: socket.socket) -> bool:
    plain.sendall(_REQUEST)
    # Reads a single byte: any plain text after it comes from an attacker in between, and must break the handshake.
    answer = plain.recv(1)
    if answer not in (b"S", b"N"):
        raise ConnectionResetError(None, "the server closed the connection when it was asked for TLS")
    return answer == b"S"


@lru_cache(maxsize=4)
def _context(mode: str, ca: str) -> ssl.SSLContext:
    """Returns the rules for a certificate. They are cached, because reading 200 roots takes 40 ms.

    It does not use `create_default_context`: from Python 3.13, that also refuses certificates that libpq accepts, for
    formal reasons such as a missing authority key identifier.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = mode == "verify-full"
    if mode not in ("verify-ca", "verify-full"):
        context.verify_mode = ssl.CERT_NONE
    elif ca:
        context.load_verify_locations(cadata=ca)
    else:
        context.load_default_certs()
        context.load_verify_locations(RDS_ROOTS)
    return context


def _remedy(remedy: str, credentials: Credentials, secret: str) -> str:
    return (remedy if credentials.sslmode else f"{remedy} {_UNNAMED}").format(secret=secret)


def _shown(credentials: Credentials) -> str:
    """Describes the certificate that was not accepted; returns an empty text if it can't be fetched.

    `ssl` does not show the certificate. So it connects again, without a check and without a login.
    """
    with (
        # An unknown server may show anything, and the error can do without the description.
        suppress(OSError, ValueError, TypeError, KeyError),
        socket.create_connection((credentials.host, credentials.port), _LOOK_SECONDS) as plain,
    ):
        if _offers_tls(plain):
            with _context("require", "").wrap_socket(plain, server_hostname=credentials.host) as looked_at:
                return f"; {describe(looked_at.getpeercert(binary_form=True) or b'')}"
    return ""


def expiry(der: bytes) -> datetime:
    """Returns a certificate's expiry.

    Raises:
        ValueError, TypeError, KeyError: it is not a certificate.
    """
    found: datetime = Certificate.load(der).not_valid_after
    return found


def describe(der: bytes) -> str:
    """Describes a certificate: its host names, its issuer and its expiry.

    Raises:
        ValueError, TypeError, KeyError: it is not a certificate.
    """
    found = Certificate.load(der)
    alternative = found.subject_alt_name_value
    names = [str(name) for name in alternative.native] if alternative else []
    issuer = found.issuer.human_friendly
    return shortened(
        f"it is for {', '.join(names) or 'no host'}, issued by {issuer}, valid until {found.not_valid_after:%Y-%m-%d}",
        _LONGEST,
    )
