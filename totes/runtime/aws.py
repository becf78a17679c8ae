"""Clients of AWS, which outlive the invocation that made them.

The SDK is imported with the first client, because most commands show their help without one. The functions import it
at their cold start.
"""

from functools import cache
from typing import Any


def client(service: str) -> Any:
    """A client of a service, the same one as long as boto3's session is: to make one takes longer than most requests.

    It retries throttling and server errors by itself before it gives up, and gets new credentials as they expire.
    """
    import boto3

    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    return _client(service, boto3.DEFAULT_SESSION)


@cache
def _client(service: str, _session: object) -> Any:
    import boto3
    from botocore.config import Config

    make_client: Any = boto3.client  # typed for literal names only
    return make_client(
        service,
        config=Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60),
    )
