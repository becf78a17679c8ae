import http.client
import os
from collections.abc import Mapping

import boto3
import pytest
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.config import default_user_config
from moto.s3.responses import S3Response

from local.aws.moto_repairs import conditional_writes_are_atomic, functions_run
from local.aws.server import AwsInUse, environment_of, moto_server
from local.state import StackState


def state_of(endpoint_url: str) -> StackState:
    return StackState(endpoint_url, "eu-west-2", "123456789012", "/nowhere", 5432, "postgres", "/nowhere", os.getpid())


def status_of(
    endpoint_url: str, method: str = "GET", path: str = "/moto-api/", headers: Mapping[str, str] | None = None
) -> int:
    connection = http.client.HTTPConnection(endpoint_url.removeprefix("http://"))
    connection.request(method, path, headers=dict(headers or {}))
    with connection.getresponse() as response:
        return response.status


def test_server_is_bound_to_the_loopback_interface_only() -> None:
    with moto_server() as endpoint:
        assert endpoint.startswith("http://127.0.0.1:")
        assert status_of(endpoint) == 200

    with pytest.raises(ConnectionRefusedError):
        status_of(endpoint)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_sdk_reaches_it_by_either_name(host: str) -> None:
    with moto_server() as endpoint, environment_of(state_of(endpoint)):
        # At localhost an SDK puts the bucket's name in front: lake.localhost.
        s3 = boto3.client("s3", endpoint_url=endpoint.replace("127.0.0.1", host))
        s3.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        s3.put_object(Bucket="lake", Key="a", Body=b"1")
        assert s3.get_object(Bucket="lake", Key="a")["Body"].read() == b"1"


def test_page_of_another_origin_is_refused() -> None:
    with moto_server() as endpoint, environment_of(state_of(endpoint)):
        boto3.client("sns").create_topic(Name="alerts")
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "none"}, {"Host": "evil.example"}):
            assert status_of(endpoint, "POST", "/moto-api/reset", headers) == 403
        assert len(boto3.client("sns").list_topics()["Topics"]) == 1


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
