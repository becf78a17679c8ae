"""Serves an AWS to a test over HTTP, as the stack does, for any client."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest

from local.aws.server import moto_server

_served = False


@contextmanager
def served_aws() -> Iterator[None]:
    """Points this process at a local AWS during the block. A nested block shares it."""
    global _served
    if _served:
        yield
        return
    with moto_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        # A proxy could not reach a server on this machine.
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        # A session that was made earlier would keep its old endpoint.
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        _served = True
        try:
            yield
        finally:
            _served = False
