import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import boto3
import obstore
import pytest
from botocore.exceptions import NoCredentialsError

from tests.support.peers import Authority
from tests.unit.totes.conftest import serving
from totes.runtime import aws
from totes.runtime.aws import client, store


def test_client_outlives_an_invocation_and_not_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    first = client("s3")
    assert client("s3") is first
    assert client("sns") is not first
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(region_name="us-east-1"))
    assert client("s3").meta.region_name == "us-east-1"


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Removes all variables and files about AWS, except the one that says that there is no instance."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


Served = tuple[str, list[dict[str, str]]]


@pytest.fixture
def s3(nothing_known: None) -> Iterator[Served]:
    """Yields the address of a server that has every object, and its requests' headers."""
    with served() as found:
        yield found


@contextmanager
def served(certificate: Path | None = None) -> Iterator[Served]:
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            heard.append({"host": "", **{name.lower(): value for name, value in self.headers.items()}, "": self.path})
            self.send_response(200)
            self.send_header("ETag", '"e"')
            self.send_header("Last-Modified", "Mon, 30 Nov 2026 09:24:45 GMT")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_CONNECT = answer  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}", heard


LAMBDA = {
    "AWS_ACCESS_KEY_ID": "OF-THE-ENVIRONMENT",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_DEFAULT_REGION": "eu-west-2",
    "AWS_REGION": "eu-west-2",
}
PROFILE = "[profile reports]\nregion = eu-north-1\naws_access_key_id = OF-THE-PROFILE\naws_secret_access_key = secret\n"


def signed_for(heard: list[dict[str, str]]) -> tuple[str, str]:
    """Returns the key and the region with which the last request was signed."""
    key, _, region, *_ = heard[-1]["authorization"].partition("Credential=")[2].split("/")
    return key, region


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_environment_says_who_asks_and_where(s3: Served, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    address, heard = s3
    for variable, value in (LAMBDA | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", name: address}).items():
        monkeypatch.setenv(variable, value)
    store("landing").get("log/1.json")
    assert signed_for(heard) == ("OF-THE-ENVIRONMENT", "eu-west-2")
    assert (heard[-1]["x-amz-security-token"], heard[-1][""]) == ("token", "/landing/log/1.json")


def test_region_of_the_sdk_goes_before_that_of_lambda(s3: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    address, heard = s3
    for variable, value in (LAMBDA | {"AWS_REGION": "us-west-1", "AWS_ENDPOINT_URL": address}).items():
        monkeypatch.setenv(variable, value)
    store("landing").get("log/1.json")
    assert signed_for(heard)[1] == "eu-west-2"


@pytest.mark.parametrize("environment", [{}, LAMBDA], ids=["nothing else", "an environment that says otherwise"])
def test_profile_of_a_command_says_who_asks_and_where(
    s3: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str]
) -> None:
    address, heard = s3
    (tmp_path / "config").write_text(PROFILE)
    for variable, value in (environment | {"AWS_ENDPOINT_URL": address}).items():
        monkeypatch.setenv(variable, value)
    boto3.setup_default_session(profile_name="reports")
    store("landing").get("log/1.json")
    # For the SDK, a variable's region has priority over a profile's.
    assert signed_for(heard) == ("OF-THE-PROFILE", environment.get("AWS_DEFAULT_REGION", "eu-north-1"))


def test_profile_in_a_variable_is_enough(s3: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address, heard = s3
    (tmp_path / "config").write_text(PROFILE)
    monkeypatch.setenv("AWS_PROFILE", "reports")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    store("landing").get("log/1.json")
    assert signed_for(heard) == ("OF-THE-PROFILE", "eu-north-1")


@pytest.mark.usefixtures("nothing_known")
def test_nobody_asks_without_credentials() -> None:
    with pytest.raises(NoCredentialsError):
        store("landing")


def test_new_credentials_are_asked_for_before_the_old_ones_expire(
    s3: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, heard = s3
    (tmp_path / "config").write_text(PROFILE)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setattr(aws, "_ASKED_AGAIN_AFTER", timedelta(seconds=-1))
    boto3.setup_default_session(profile_name="reports")
    made = store("landing")
    made.get("log/1.json")
    credentials = boto3.DEFAULT_SESSION.get_credentials()
    credentials.access_key = "RENEWED"
    made.get("log/1.json")
    assert signed_for(heard)[0] == "RENEWED"


def test_store_outlives_an_invocation_and_not_its_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    first = store("landing")
    assert store("landing") is first
    assert store("processed") is not first
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert store("landing") is not first


@pytest.mark.parametrize(("excepted", "by_proxy"), [("", True), ("127.0.0.1,localhost", False)])
def test_proxy_is_used_but_for_what_is_excepted(
    s3: Served, monkeypatch: pytest.MonkeyPatch, excepted: str, by_proxy: bool
) -> None:
    address, heard = s3
    surroundings = {"AWS_ENDPOINT_URL": address, "http_proxy": address, "no_proxy": excepted, "NO_PROXY": excepted}
    for variable, value in (LAMBDA | surroundings).items():
        monkeypatch.setenv(variable, value)
    store("landing").get("log/1.json")
    assert heard[-1][""] == f"{address if by_proxy else ''}/landing/log/1.json"


def test_aws_itself_is_asked_by_the_buckets_name(s3: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS will discontinue paths that begin with the bucket; the proxy sees the host's name."""
    address, heard = s3
    for variable, value in (LAMBDA | {"HTTPS_PROXY": address}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setitem(aws.RETRIES, "max_retries", 0)
    with pytest.raises(obstore.exceptions.GenericError):
        store("landing").get("log/1.json")
    assert heard[-1][""] == "landing.s3.eu-west-2.amazonaws.com:443"


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize("trusted", [True, False])
def test_bundle_of_authorities_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trusted: bool) -> None:
    authority, bundle = Authority(), tmp_path / "bundle.pem"
    bundle.write_text((authority if trusted else Authority("another")).pem)
    monkeypatch.setitem(aws.RETRIES, "max_retries", 0)
    with served(authority.certificate(tmp_path, "127.0.0.1")) as (address, heard):
        for variable, value in (LAMBDA | {"AWS_ENDPOINT_URL": address, "AWS_CA_BUNDLE": str(bundle)}).items():
            monkeypatch.setenv(variable, value)
        if trusted:
            store("landing").get("log/1.json")
        else:
            with pytest.raises(obstore.exceptions.GenericError, match="InvalidCertificate"):
                store("landing").get("log/1.json")
    assert len(heard) == trusted
