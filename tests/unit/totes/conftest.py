import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest

from tests.support.pipeline import Pipeline
from tests.support.served_aws import served_aws
from totes.lake.bucket import Lake
from totes.postgres.connection import WAREHOUSE, connected
from totes.postgres.driver import PipelineConnection
from totes.runtime import aws
from totes.warehouse import schema
from totes.warehouse.warehouse import Warehouse

BUCKET = "totes-test-lake"


@pytest.fixture
def lake() -> Iterator[Lake]:
    """Yields an empty, versioned bucket."""
    with served_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield Lake(BUCKET)


@pytest.fixture
def star(pipeline: Pipeline) -> Iterator[PipelineConnection]:
    """Yields the loader's connection to a warehouse that has its schema and no rows."""
    with connected(WAREHOUSE, pipeline.credentials(pipeline.warehouse), "totes-test") as connection:
        schema.migrate(Warehouse(connection))
        yield connection


AwsAnswers = Callable[[int, str], list[str]]


@pytest.fixture
def aws_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsAnswers]:
    """Makes AWS answer every request with one status and one body; returns the list of requests."""
    # The clients really wait between their attempts.
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    monkeypatch.setitem(aws.RETRIES, "backoff", {"init_backoff": timedelta(milliseconds=1)})
    with contextlib.ExitStack() as running:

        def answer(status: int, body: str) -> list[str]:
            requests: list[str] = []
            server = running.enter_context(serving(_handler(status, body.encode(), requests)))
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
            return requests

        yield answer


def _handler(status: int, body: bytes, requests: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            requests.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_PUT = do_POST = do_HEAD = answer  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None: ...

    return Handler


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
