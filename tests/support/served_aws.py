"""Serves an AWS for a test over HTTP, as the stack does, for each client."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest

from local.aws.moto_repairs import modules_are_listed_once
from local.aws.server import moto_server

_served = False


@contextmanager
def served_aws() -> Iterator[None]:
    """Points this process at a local AWS for the block; a block within it shares that AWS."""
    global _served
    if _served:
        yield
        return
    with modules_are_listed_once(), moto_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        # A proxy could not reach a server on this machine.
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        # A session that was made earlier keeps its endpoint.
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        _served = True
        try:
            yield
        finally:
            _served = False
