"""Clients of AWS, which outlive the invocation that made them."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config


def client(service: str) -> Any:
    """A client of a service, the same one as long as boto3's session is: to make one takes longer than most requests.

    It retries throttling and server errors by itself before it gives up, and gets new credentials as they expire.
    """
    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    return _made(service, boto3.DEFAULT_SESSION)


def forget_clients() -> None:
    """Has all clients made anew, for another AWS or with hooks that a session was given meanwhile."""
    _made.cache_clear()


@cache
def _made(service: str, _session: object) -> Any:
    make_client: Any = boto3.client  # typed for literal names only
    return make_client(
        service,
        config=Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60),
    )
