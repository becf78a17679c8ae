"""The traffic of each sslmode to each kind of server: this module makes the table in docs/security.md."""

import contextlib
import importlib
import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.aws.deployment import ROOT
from tests.support.peers import DAY, NOW, Authority, Peer, peer, self_signed
from tools.docs.pages import with_parts
from totes.contracts.requests import Request
from totes.errors import AccessDenied, SourceUnreachable, TotesError
from totes.postgres import tls
from totes.postgres.connection import TOTESYS, connected
from totes.runtime.redaction import redacted
from totes.runtime.secrets import SSL_MODES, Credentials
from totes.runtime.settings import BackfillSettings, IngestSettings, LoadSettings

PASSWORD = "correct horse"
REQUEST_FOR_TLS = bytes.fromhex("0000000804d2162f")
SECURITY = ROOT / "docs" / "security.md"
SERVERS = {
    "no TLS": "offers no TLS",
    "self-signed": "signed its certificate itself",
    "another host": "has a certificate for another host",
    "expired": "has a certificate that expired yesterday",
    "right": "has a certificate of the secret's `ca`, for the host",
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def certificates(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | None]:
    """Returns the certificate of each server, by the server's name."""
    folder = tmp_path_factory.mktemp("certificates")
    return {
        "no TLS": None,
        "self-signed": self_signed(folder, "localhost", "127.0.0.1"),
        "another host": authority.certificate(folder, "db.example.com", "10.0.0.7"),
        "expired": authority.certificate(folder, "localhost", "127.0.0.1", until=NOW - DAY),
        "right": authority.certificate(folder, "localhost", "127.0.0.1"),
    }


def credentials(opened: Peer, mode: str, ca: str = "", host: str = "localhost") -> Credentials:
    return Credentials(host, "totesys", "reader", PASSWORD, opened.port, mode, ca)


def refusal(login: Credentials) -> TotesError:
    """Returns the outcome of an attempt to log in; every peer refuses the password that it gets."""
    with pytest.raises(TotesError) as caught, connected(TOTESYS, login, "totes-test"):
        pytest.fail("connected")
    return caught.value


def outcome(opened: Peer, error: TotesError) -> str:
    """Returns a few words for what the peer has received; it has received nothing else."""
    if PASSWORD.encode() in opened.received:
        assert isinstance(error, SourceUnreachable)
        return "sends the password, encrypted" if opened.encrypted else "sends the password **in plain text**"
    assert isinstance(error, AccessDenied)
    requests = opened.received.replace(REQUEST_FOR_TLS, b"")
    assert not requests, f"a peer that is not accepted got {requests!r}"
    return "refuses"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_table_of_modes_and_servers_is_as_documented(
    authority: Authority, certificates: dict[str, Path | None], host: str
) -> None:
    rows = [
        "| The server … | " + " | ".join(f"`{mode}`" for mode in SSL_MODES) + " |",
        "| --- |" + " --- |" * len(SSL_MODES),
    ]
    for server, said in SERVERS.items():
        cells = []
        for mode in SSL_MODES:
            with peer(certificates[server]) as opened:
                ca = authority.pem if mode.startswith("verify") else ""
                cells.append(outcome(opened, refusal(credentials(opened, mode, ca, host))))
        rows.append(f"| {said} | {' | '.join(cells)} |")
    text = with_parts(SECURITY, {"tls": "\n".join(rows) + "\n"})
    if os.environ.get("TOTES_WRITE_TLS"):
        SECURITY.write_text(text, encoding="utf-8")
    assert SECURITY.read_text(encoding="utf-8") == text, "TOTES_WRITE_TLS=1 writes the table"


def test_without_ca_no_private_authority_is_trusted(certificates: dict[str, Path | None]) -> None:
    with peer(certificates["right"]) as opened:
        assert outcome(opened, refusal(credentials(opened, "verify-full"))) == "refuses"


def test_ca_alone_is_trusted(authority: Authority, tmp_path: Path) -> None:
    own, other = Authority("another authority"), authority
    with peer(other.certificate(tmp_path, "localhost")) as opened:
        assert outcome(opened, refusal(credentials(opened, "verify-full", own.pem))) == "refuses"


def test_certificate_that_signed_itself_is_trusted_as_ca(tmp_path: Path) -> None:
    file = self_signed(tmp_path, "localhost")
    pem = file.read_text(encoding="utf-8").partition("-----END PRIVATE KEY-----\n")[2]
    with peer(file) as opened:
        assert outcome(opened, refusal(credentials(opened, "verify-full", pem))) == "sends the password, encrypted"


@pytest.mark.parametrize(
    ("server", "said", "remedy"),
    [
        (
            "no TLS",
            r"totesys offers no TLS at localhost:\d+, and sslmode verify-full insists on it\.",
            "Switch TLS on, on the server or in the pooler before it.",
        ),
        (
            "self-signed",
            r"The certificate of totesys at localhost:\d+ is not accepted: self-signed certificate; it is for "
            r"localhost, 127\.0\.0\.1, issued by Common Name: a database, valid until \d{4}-\d\d-\d\d\.",
            "If it is the right server, put its authority's certificate into the secret: `totes secret source "
            "--ca FILE`.",
        ),
        (
            "another host",
            r"The certificate of totesys .*: Hostname mismatch, certificate is not valid for 'localhost'; it is for "
            r"db\.example\.com, 10\.0\.0\.7, issued by Common Name: totes test authority, valid until .*",
            "Put a name that the certificate is for into the secret as host, or have a certificate made for this host.",
        ),
        (
            "expired",
            rf"The certificate .*: certificate has expired; it is for .*, valid until {NOW - DAY:%Y-%m-%d}\.",
            "Renew the certificate on the server.",
        ),
    ],
)
def test_refusal_names_the_certificate_and_the_remedy(
    authority: Authority, certificates: dict[str, Path | None], server: str, said: str, remedy: str
) -> None:
    with peer(certificates[server]) as opened:
        error = refusal(credentials(opened, "verify-full", authority.pem))
    assert re.fullmatch(said, error.found)
    assert error.remedy == remedy


@pytest.mark.parametrize("server", ["no TLS", "self-signed"])
def test_secret_of_0_1_without_sslmode_is_told_what_changed(
    monkeypatch: pytest.MonkeyPatch, certificates: dict[str, Path | None], server: str
) -> None:
    # Only this machine resolves this name to itself, so it does not count as local.
    monkeypatch.setattr(socket, "create_connection", to_loopback(socket.create_connection))
    with peer(certificates[server]) as opened:
        unnamed = credentials(opened, "", host="db.example.com")
        error = refusal(unnamed)
        assert outcome(opened, error) == "refuses"
        assert error.remedy.endswith(
            "The secret has no sslmode, which now means verify-full. Up to release 0.1 it meant prefer, which sends "
            "the password to any server that answers. If nobody can intercept the connection, `totes secret source "
            "--sslmode prefer` keeps that."
        )
        assert "no sslmode" not in refusal(replace(unnamed, sslmode="verify-full")).remedy


def to_loopback(connect: object) -> object:
    """Returns `create_connection` with every host leading here."""

    def connected_here(address: tuple[str, int], *arguments: object, **named: object) -> object:
        return connect(("127.0.0.1", address[1]), *arguments, **named)  # type: ignore[operator]

    return connected_here


def test_name_that_leads_to_loopback_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, certificates: dict[str, Path | None]
) -> None:
    monkeypatch.setattr(socket, "create_connection", to_loopback(socket.create_connection))
    with peer(None) as opened:
        assert outcome(opened, refusal(credentials(opened, "", host="db.example.com"))) == "refuses"
    with peer(None) as opened:
        assert "plain text" in outcome(opened, refusal(credentials(opened, "")))


def test_server_is_asked_for_by_its_name(authority: Authority, certificates: dict[str, Path | None]) -> None:
    with peer(certificates["right"]) as opened:
        refusal(credentials(opened, "verify-full", authority.pem))
        assert opened.asked_for == ["localhost"]


@pytest.mark.parametrize("answer", [b"E", b""], ids=["an error", "nothing"])
@pytest.mark.parametrize("mode", SSL_MODES)
def test_server_that_breaks_off_is_transient_and_gets_no_password(mode: str, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as running:
        received = running.enter_context(breaking_off(server, answer))
        login = Credentials("localhost", "totesys", "reader", PASSWORD, server.getsockname()[1], mode, "")
        error = refusal(login if mode != "verify-ca" else replace(login, ca=Authority().pem))
    assert isinstance(error, SourceUnreachable)
    assert "the server closed the connection when it was asked for TLS" in error.found
    assert received == [REQUEST_FOR_TLS]


@contextlib.contextmanager
def breaking_off(server: socket.socket, answer: bytes) -> Iterator[list[bytes]]:
    """Answers one client, and ends."""
    import threading

    received: list[bytes] = []

    def serve() -> None:
        client, _ = server.accept()
        # Our side may close the connection at any moment from here on.
        with client, contextlib.suppress(OSError):
            received.append(client.recv(1024))
            client.sendall(answer)
            client.shutdown(socket.SHUT_WR)
            client.recv(1024)

    thread = threading.Thread(target=serve)
    thread.start()
    yield received
    thread.join()


def test_plain_text_before_the_handshake_is_not_taken_for_the_servers() -> None:
    """CVE-2021-23222: bytes that somebody in between adds after the S must not count as encrypted."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        breaking_off(server, b"S" + b"R\0\0\0\x08\0\0\0\x03") as received,
    ):
        error = refusal(Credentials("localhost", "totesys", "reader", PASSWORD, server.getsockname()[1], "require"))
    assert isinstance(error, SourceUnreachable)
    assert PASSWORD.encode() not in b"".join(received)


@pytest.mark.parametrize("mode", SSL_MODES)
def test_old_versions_of_tls_are_refused(authority: Authority, mode: str) -> None:
    context = tls._context(mode, authority.pem)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname == (mode == "verify-full")


def test_roots_of_rds_are_trusted_beside_the_systems() -> None:
    system = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    system.load_default_certs()
    found = tls._context("verify-full", "").get_ca_certs(binary_form=True)
    rds = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    rds.load_verify_locations(tls.RDS_ROOTS)
    assert set(found) == {*system.get_ca_certs(binary_form=True), *rds.get_ca_certs(binary_form=True)}


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("/run/postgresql", True),
        ("db.example.com", False),
        ("localhost.example.com", False),
        ("localhost.localdomain", False),
        ("127.0.0.1.example.com", False),
        ("ip6-localhost", False),
        ("127.1", False),
        ("128.0.0.1", False),
        ("10.0.0.7", False),
        ("0.0.0.0", False),  # noqa: S104
        ("::2", False),
    ],
)
def test_default_is_verify_full_but_on_loopback_and_sockets(host: str, local: bool) -> None:
    login = Credentials(host, "totesys", "reader", PASSWORD)
    assert login.tls == ("prefer" if local else "verify-full")
    assert login.is_local == local
    # A secret with a certificate asks for a check.
    assert replace(login, ca="a certificate").tls == "verify-full"
    assert all(replace(login, sslmode=mode).tls == mode for mode in SSL_MODES)


@pytest.mark.parametrize("mode", SSL_MODES)
@pytest.mark.parametrize("host", ["db.example.com", "localhost", "/run/postgresql"])
def test_weaker_modes_are_warned_about_off_this_machine(mode: str, host: str) -> None:
    said = tls.weakness(Credentials(host, "totesys", "reader", PASSWORD, sslmode=mode))
    if host == "db.example.com" and mode != "verify-full":
        assert re.fullmatch(rf"sslmode {mode} for db\.example\.com: .*the password goes to .*", said)
        assert redacted(said) == said
    else:
        assert said == ""


@pytest.mark.parametrize("stage", ["ingest", "load", "backfill"])
@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_functions_log_a_weaker_mode(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stage: str, mode: str
) -> None:
    module = importlib.import_module(f"totes.{stage}")

    def stop(*_: object) -> None:
        raise SourceUnreachable("Stopped.", "Go on.")

    login = Credentials("db.example.com", "totesys", "reader", PASSWORD, sslmode=mode)
    monkeypatch.setattr(module, "read_credentials", lambda _: login)
    monkeypatch.setattr(module, "connected", stop)
    monkeypatch.setattr("totes.ingest.ends", lambda *_: (None, 0))
    with contextlib.suppress(SourceUnreachable):
        {
            "ingest": lambda: module.ingest(IngestSettings("a", "b", "c"), Request("e")),
            "load": lambda: module.load(LoadSettings("a", "b"), Request("e")),
            "backfill": lambda: module.Backfill(BackfillSettings("a", "b"), "e"),
        }[stage]()
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ([tls.weakness(login)] if mode == "require" else [])


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x00", b"nonsense"])
def test_nonsense_for_a_certificate_leaves_the_error_as_it_is(der: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        tls.describe(der)
