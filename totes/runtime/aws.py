"""Clients of AWS, which outlive the invocation that made them.

The SDK is imported with the first client, because most commands show their help without one, and Transform needs none.
S3 has a client of its own, for the lake: docs/adr/0033-the-client-of-the-lake.md.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.store import S3Store

if TYPE_CHECKING:
    from boto3 import Session
    from obstore.store import ClientConfig, RetryConfig

RETRIES: "RetryConfig" = {
    "max_retries": 5,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {"init_backoff": timedelta(seconds=0.5), "base": 3},
}
# A connection may be silent for so long; an upload has to be through by then. No function has more than 15 minutes.
_TIMES: "ClientConfig" = {"connect_timeout": "5s", "read_timeout": "2m", "timeout": "15m"}
# botocore gets new credentials 10 minutes before the old ones expire.
_ASKED_AGAIN_AFTER = timedelta(minutes=5)
_LOGIN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def client(service: str) -> Any:
    """A client of a service, the same one as long as boto3's session is: to make one takes longer than most requests.

    It retries throttling and server errors by itself before it gives up, and gets new credentials as they expire.
    """
    import boto3

    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    return _client(service, boto3.DEFAULT_SESSION)


def store(bucket: str) -> S3Store:
    """A client of S3 for one bucket, the same one as long as what it is made of is.

    It retries server errors and lost connections by itself before it gives up.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return _store(bucket, endpoint, _session())


@cache
def _client(service: str, _session: object) -> Any:
    import boto3
    from botocore.config import Config

    make_client: Any = boto3.client  # typed for literal names only
    return make_client(
        service,
        config=Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60),
    )


@cache
def _store(bucket: str, endpoint: str | None, session: "Session | None") -> S3Store:
    return S3Store(
        bucket,
        **({"endpoint": endpoint} if endpoint else {"virtual_hosted_style_request": True}),
        **(_who_and_where(session) if session else {"region": _region()}),
        client_options={"allow_http": True, **_TIMES, **_authorities()},
        retry_config=RETRIES,
    )


def _session() -> "Session | None":
    """Returns the session that knows login and region; None if the environment says both, as Lambda's does.

    A command has made one by now if it was given a profile or a region. The SDK is not imported to look.
    """
    boto3: Any = sys.modules.get("boto3")
    if boto3 is None or boto3.DEFAULT_SESSION is None:
        if _region() and all(os.environ.get(name) for name in _LOGIN):
            return None
        import boto3

        boto3.setup_default_session()
    session: Session = boto3.DEFAULT_SESSION
    return session


def _who_and_where(session: "Session") -> dict[str, Any]:
    from botocore.exceptions import NoCredentialsError

    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError

    def login() -> dict[str, Any]:
        frozen = credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _ASKED_AGAIN_AFTER,
        }

    return {"credential_provider": login} | ({"region": session.region_name} if session.region_name else {})


def _region() -> str | None:
    # boto3 knows the first one alone.
    return os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION")


def _authorities() -> "ClientConfig":
    bundle = os.environ.get("AWS_CA_BUNDLE")
    return {"root_certificate": Path(bundle).read_bytes()} if bundle else {}
