import http.client
import os

import boto3
import pytest
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.config import default_user_config
from moto.s3.responses import S3Response

from local.aws import AwsInUse, environment_of, moto_server
from local.moto_repairs import conditional_writes_are_atomic, functions_run
from local.state import StackState


def state_of(endpoint_url: str) -> StackState:
    return StackState(endpoint_url, "eu-west-2", "123456789012", "/nowhere", 5432, "postgres", "/nowhere", os.getpid())


def status_of(endpoint_url: str) -> int:
    connection = http.client.HTTPConnection(endpoint_url.removeprefix("http://"))
    connection.request("GET", "/moto-api/")
    with connection.getresponse() as response:
        return response.status


def test_server_is_bound_to_the_loopback_interface_only() -> None:
    with moto_server() as endpoint:
        assert endpoint.startswith("http://127.0.0.1:")
        assert status_of(endpoint) == 200

    with pytest.raises(ConnectionRefusedError):
        status_of(endpoint)


def test_server_starts_with_nothing_from_the_one_before() -> None:
    for _ in range(2):
        with moto_server() as endpoint, environment_of(state_of(endpoint)):
            sns = boto3.client("sns")
            assert sns.list_topics()["Topics"] == []
            sns.create_topic(Name="left-over")


def test_second_server_in_a_process_is_refused() -> None:
    with moto_server() as first:
        with pytest.raises(AwsInUse, match="process already"), moto_server():
            pass
        assert status_of(first) == 200


def test_environment_of_the_developer_is_hidden_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "real")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    boto3.setup_default_session(region_name="us-east-1")
    assert boto3.DEFAULT_SESSION.get_credentials().access_key == "real"
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "MOTO_PORT"):
        monkeypatch.setenv(name, "http://production.invalid")
    before = dict(os.environ)

    with moto_server() as endpoint, environment_of(state_of(endpoint)):
        s3 = boto3.client("s3")
        assert (s3.meta.endpoint_url, s3.meta.region_name) == (endpoint, "eu-west-2")
        assert s3.list_buckets()["Buckets"] == []
        assert boto3.DEFAULT_SESSION.get_credentials().access_key == "local"

    assert dict(os.environ) == before


def test_repairs_and_settings_of_moto_are_undone() -> None:
    invoke, put = LambdaSimpleBackend.invoke, S3Response.put_object
    settings = dict(default_user_config)

    with moto_server(), conditional_writes_are_atomic(), functions_run(lambda _name, _event: pytest.fail("not called")):
        assert LambdaSimpleBackend.invoke is not invoke
        assert S3Response.put_object is not put

    assert LambdaSimpleBackend.invoke is invoke
    assert S3Response.put_object is put
    assert default_user_config == settings
