import hashlib
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from tests.unit.totes.conftest import BUCKET, AwsAnswers
from totes.errors import AccessDenied, CorruptObject, LakeUnavailable, ObjectMissing, TotesError
from totes.lake.bucket import Lake, StoredObject


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"bytes of a file")
    return path


def versions(key: str) -> int:
    found = boto3.client("s3").list_object_versions(Bucket=BUCKET, Prefix=key)
    return len(found.get("Versions", []))


def test_object_is_named_after_its_content(lake: Lake, file: Path) -> None:
    stored = lake.add(file, "data/staff/batch=00000001", rows=3)
    sha256 = hashlib.sha256(b"bytes of a file").hexdigest()
    assert stored.as_json() == {
        "key": f"data/staff/batch=00000001/{sha256[:32]}.parquet",
        "rows": 3,
        "bytes": 15,
        "sha256": sha256,
    }
    assert lake.read(stored.key) == b"bytes of a file"


def test_same_bytes_are_written_once(lake: Lake, file: Path) -> None:
    first, second = (lake.add(file, "data", 1) for _ in range(2))
    assert first == second
    assert versions(first.key) == 1


def test_taken_key_keeps_its_first_document(lake: Lake) -> None:
    assert lake.add_json("log/1.json", {"by": "first"}) is True
    assert lake.add_json("log/1.json", {"by": "second"}) is False
    assert lake.read("log/1.json") == b'{"by": "first"}'
    assert versions("log/1.json") == 1


def test_hint_may_be_replaced(lake: Lake) -> None:
    for batch in (1, 2):
        lake.replace_hint("log/_latest.json", {"batch": batch})
    assert lake.read("log/_latest.json") == b'{"batch": 2}'


def test_missing_object_reads_as_none(lake: Lake) -> None:
    assert lake.read("log/1.json") is None


def test_fetched_object_is_the_one_that_was_added(lake: Lake, file: Path, tmp_path: Path) -> None:
    file.write_bytes(bytes(range(256)) * 10_000)
    stored = lake.add(file, "data", 1)
    assert lake.fetch(stored, tmp_path / "copy").read_bytes() == file.read_bytes()


def test_object_with_other_bytes_is_corrupt(lake: Lake, file: Path, tmp_path: Path) -> None:
    stored = lake.add(file, "data", 1)
    boto3.client("s3").put_object(Bucket=BUCKET, Key=stored.key, Body=b"bytes of a fil3")
    with pytest.raises(CorruptObject) as caught:
        lake.fetch(stored, tmp_path / "copy")
    assert f"s3://{BUCKET}/{stored.key} holds 15 bytes" in str(caught.value)
    assert f"15 bytes with {stored.sha256}. Restore" in str(caught.value)


def test_object_that_is_gone_is_named(lake: Lake, file: Path, tmp_path: Path) -> None:
    stored = replace(lake.add(file, "data", 1), key="data/gone.parquet")
    with pytest.raises(ObjectMissing, match=f"s3://{BUCKET}/data/gone.parquet is not there. Restore it in S3"):
        lake.fetch(stored, tmp_path / "copy")


def test_keys_come_in_order_over_all_pages(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for number in range(7, 0, -1):
        lake.add_json(f"log/{number}.json", {})
    lake.add_json("logs/8.json", {})
    assert list(lake.keys("log/", after="log/1.json")) == [f"log/{number}.json" for number in range(2, 8)]


def test_missing_bucket_is_named(lake: Lake) -> None:
    nowhere = Lake("totes-test-nowhere")
    for attempt in (
        lambda: nowhere.read("a"),
        lambda: list(nowhere.keys("a", "")),
        lambda: nowhere.add_json("a", {}),
        lambda: nowhere.replace_hint("a", {}),
    ):
        with pytest.raises(
            AccessDenied, match=r"s3://totes-test-nowhere/a: S3 says NoSuchBucket. Check that the bucket"
        ):
            attempt()


@pytest.mark.parametrize(
    ("status", "code", "kind", "attempts"),
    [
        (403, "AccessDenied", AccessDenied, 1),
        (403, "InvalidAccessKeyId", AccessDenied, 1),
        (503, "SlowDown", LakeUnavailable, 6),
        (500, "InternalError", LakeUnavailable, 6),
        # Another writer puts or deletes the key at this moment: whether the object exists in the end is not known.
        (409, "ConditionalRequestConflict", LakeUnavailable, 1),
    ],
)
def test_answers_of_s3_are_told_apart(
    aws_answers: AwsAnswers, file: Path, status: int, code: str, kind: type[Exception], attempts: int
) -> None:
    requests = aws_answers(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>")
    with pytest.raises(kind, match=rf"s3://{BUCKET}/data/\w+.parquet: S3 says {code}"):
        Lake(BUCKET).add(file, "data", 1)
    assert len(requests) == attempts


def test_unreachable_s3_is_transient(aws_answers: AwsAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(
        LakeUnavailable, match=f"s3://{BUCKET}/log/1.json: no answer from S3: Connection refused. Nothing to do"
    ):
        Lake(BUCKET).read("log/1.json")


def test_trying_to_add_changes_nothing(lake: Lake) -> None:
    lake.add_json("log/1.json", {"by": "first"})
    assert lake.try_to_add("log/1.json") is True
    assert lake.try_to_add("log/2.json") is False
    assert (versions("log/1.json"), versions("log/2.json")) == (1, 0)


def test_object_that_is_required_is_only_looked_at(lake: Lake) -> None:
    lake.add_json("log/1.json", {})
    lake.require("log/1.json")
    with pytest.raises(ObjectMissing, match=r"log/2\.json is not there"):
        lake.require("log/2.json")


Ask = Callable[[Lake, Path], object]


def fetch_anything(lake: Lake, folder: Path) -> Path:
    return lake.fetch(StoredObject("log/a", 1, 1, "ab"), folder / "copy")


def list_anything(lake: Lake, _: Path) -> list[str]:
    return list(lake.keys("log/", after="log/0"))


def read_anything(lake: Lake, _: Path) -> bytes | None:
    return lake.read("log/a")


def s3_error(code: str, more: str = "") -> str:
    """Returns S3's answer, with all fields that S3 adds."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>No &amp; no.</Message>{more}'
        "<RequestId>4442587FB7D0A2F9</RequestId><HostId>host</HostId></Error>"
    )


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", AccessDenied),
        (403, "InvalidAccessKeyId", AccessDenied),
        (404, "NoSuchBucket", AccessDenied),
        (400, "KMS.DisabledException", AccessDenied),
        (404, "NoSuchKey", ObjectMissing),
        (400, "ExpiredToken", LakeUnavailable),
        (403, "RequestTimeTooSkewed", LakeUnavailable),
        (429, "TooManyRequests", LakeUnavailable),
        (503, "SlowDown", LakeUnavailable),
        (500, "InternalError", LakeUnavailable),
    ],
)
@pytest.mark.parametrize("ask", [fetch_anything, list_anything, read_anything], ids=["fetch", "list", "read"])
def test_every_request_translates_the_code(
    aws_answers: AwsAnswers, tmp_path: Path, ask: Ask, status: int, code: str, kind: type[TotesError]
) -> None:
    aws_answers(status, s3_error(code))
    if (kind, ask) == (ObjectMissing, read_anything):
        assert ask(Lake(BUCKET), tmp_path) is None
        return
    with pytest.raises(kind) as caught:
        ask(Lake(BUCKET), tmp_path)
    assert f"s3://{BUCKET}/log/" in str(caught.value)
    assert f"S3 says {code}." in str(caught.value) or kind is ObjectMissing


@pytest.mark.parametrize(
    ("status", "kind"), [(403, AccessDenied), (404, ObjectMissing), (400, LakeUnavailable), (503, LakeUnavailable)]
)
def test_answer_without_a_body_is_told_by_its_status(
    aws_answers: AwsAnswers, status: int, kind: type[TotesError]
) -> None:
    aws_answers(status, "")
    with pytest.raises(kind):
        Lake(BUCKET).require("log/1.json")


def test_signature_and_token_get_into_no_message(aws_answers: AwsAnswers) -> None:
    secret = "x-amz-security-token:FwoGZXIvYXdzEXAMPLE"
    aws_answers(403, s3_error("SignatureDoesNotMatch", f"<CanonicalRequest>PUT\n{secret}</CanonicalRequest>"))
    with pytest.raises(LakeUnavailable, match="S3 says SignatureDoesNotMatch") as caught:
        Lake(BUCKET).read("log/1.json")
    assert "FwoG" not in "".join(traceback.format_exception(caught.value))
