import boto3
import pytest

from totes.runtime.aws import client


def test_client_outlives_an_invocation_and_not_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    first = client("s3")
    assert client("s3") is first
    assert client("sns") is not first
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(region_name="us-east-1"))
    assert client("s3").meta.region_name == "us-east-1"
