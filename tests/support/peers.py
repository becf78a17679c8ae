"""Servers on loopback that answer a request for TLS in one way each, and record what they receive.

Each asks for the password in plain text, as an impostor would.
"""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
_ASKS_FOR_PASSWORD = b"R" + struct.pack("!ii", 8, 3)
_REFUSAL = b"SFATAL\0C28P01\0Mno\0\0"
_REFUSES = b"E" + struct.pack("!i", len(_REFUSAL) + 4) + _REFUSAL


@dataclass
class Peer:
    """A listening server.

    Attributes:
        received: all bytes that it received, decrypted, of all connections.
        encrypted: whether the password came encrypted.
    """

    port: int
    received: bytearray = field(default_factory=bytearray)
    encrypted: bool = False
    asked_for: list[str] = field(default_factory=list)


class Authority:
    """A certificate authority."""

    def __init__(self, name: str = "totes test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        certificate = _builder(self._name, self._name, self._key, NOW + 365 * DAY)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        signed = certificate.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        self.pem = signed.public_bytes(serialization.Encoding.PEM).decode()

    def certificate(self, folder: Path, *hosts: str, until: datetime.datetime = NOW + DAY) -> Path:
        """Writes a certificate for these hosts, with its key, and returns the file."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _for_hosts(_builder(_name("a database"), self._name, key, until), hosts)
        return _written(folder, key, builder.sign(self._key, hashes.SHA256()))


def self_signed(folder: Path, *hosts: str) -> Path:
    """Writes a certificate that nobody has signed, with its key, and returns the file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("a database")
    return _written(folder, key, _for_hosts(_builder(name, name, key, NOW + DAY), hosts).sign(key, hashes.SHA256()))


@contextlib.contextmanager
def peer(certificate: Path | None = None) -> Iterator[Peer]:
    """Starts a peer with a certificate, or one without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened = Peer(server.getsockname()[1])
        context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            context.sni_callback = lambda _socket, name, _context: opened.asked_for.append(str(name))
        thread = threading.Thread(target=_serve, args=(server, opened, context))
        thread.start()
        try:
            yield opened
        finally:
            # Wakes the thread. Closing the socket alone does not.
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(server: socket.socket, opened: Peer, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            client.settimeout(10)
            with client, contextlib.suppress(OSError):
                _answer(client, opened, context)


def _answer(client: socket.socket, opened: Peer, context: ssl.SSLContext | None) -> None:
    request = _noted(client, opened)
    if request == struct.pack("!ii", 8, 80877103):
        client.sendall(b"S" if context else b"N")
        if context:
            with context.wrap_socket(client, server_side=True) as encrypted:
                _log_in(encrypted, opened)
            return
        _log_in(client, opened)


def _log_in(client: socket.socket, opened: Peer) -> None:
    if _noted(client, opened):  # StartupMessage
        client.sendall(_ASKS_FOR_PASSWORD)
        if _noted(client, opened):
            opened.encrypted = isinstance(client, ssl.SSLSocket)
            client.sendall(_REFUSES)
            client.recv(1024)


def _noted(client: socket.socket, opened: Peer) -> bytes:
    message = client.recv(4096)
    opened.received += message
    return message


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(NOW, until) - DAY)
        .not_valid_after(until)
    )


def _for_hosts(builder: x509.CertificateBuilder, hosts: tuple[str, ...]) -> x509.CertificateBuilder:
    names = [_general_name(host) for host in hosts]
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _written(folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
    file = folder / f"{certificate.serial_number}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
