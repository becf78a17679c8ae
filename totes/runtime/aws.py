"""Makes clients of AWS and keeps them from one invocation to the next.

The SDK is imported with the first client: commands show their help without one, and Transform needs none. S3 has a
client of its own, for the lake: docs/adr/0033-the-client-of-the-lake.md.
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
# `read_timeout` is how long a connection may be silent; `timeout` ends an upload. No function has more than 15 minutes.
_TIMES: "ClientConfig" = {"connect_timeout": "5s", "read_timeout": "2m", "timeout": "15m"}
# botocore gets new credentials 10 minutes before the old ones expire.
_ASKED_AGAIN_AFTER = timedelta(minutes=5)
_LOGIN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def client(service: str) -> Any:
    """Returns a client of a service, the same one for each call: making one takes longer than most requests.

    It retries throttling and server errors, and renews credentials before they expire. A new session of boto3 has
    clients of its own.
    """
    import boto3

    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    return _client(service, boto3.DEFAULT_SESSION)


def store(bucket: str) -> S3Store:
    """Returns a client of S3 for one bucket, the same one for each call with the same endpoint and session.

    It retries server errors and lost connections.
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
    """Returns the session that has the login and the region; None if the environment has both, as on Lambda.

    A command that was given a profile or a region has already made a session. So if the SDK is not imported yet, there
    is none, and it need not be imported to look.
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
    # boto3 reads only the first variable.
    return os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION")


def _authorities() -> "ClientConfig":
    bundle = os.environ.get("AWS_CA_BUNDLE")
    return {"root_certificate": Path(bundle).read_bytes()} if bundle else {}
