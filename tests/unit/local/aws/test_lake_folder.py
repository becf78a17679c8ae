from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from local.aws.lake_folder import LakeFolder

BUCKET = "landing"
PART = 5 * 1024 * 1024


@pytest.fixture
def s3() -> Iterator[object]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_objects_are_files_as_soon_as_they_are_put(s3, tmp_path: Path) -> None:
    with LakeFolder(tmp_path).mirrored():
        s3.put_object(Bucket=BUCKET, Key="log/00000001.json", Body=b"{}")
        s3.put_object(Bucket=BUCKET, Key="log/_latest.json", Body=b"1")
        s3.put_object(Bucket=BUCKET, Key="log/_latest.json", Body=b"2")

        assert files(tmp_path) == {"landing/log/00000001.json": b"{}", "landing/log/_latest.json": b"2"}


def test_multipart_upload_is_one_file(s3, tmp_path: Path) -> None:
    with LakeFolder(tmp_path).mirrored():
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="big")["UploadId"]
        parts = [
            {
                "PartNumber": number,
                "ETag": s3.upload_part(
                    Bucket=BUCKET, Key="big", UploadId=upload, PartNumber=number, Body=letter * size
                )["ETag"],
            }
            for number, letter, size in ((1, b"a", PART), (2, b"b", 1))
        ]
        s3.complete_multipart_upload(Bucket=BUCKET, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})

    assert files(tmp_path) == {"landing/big": b"a" * PART + b"b"}


def test_deleted_object_is_deleted_but_not_by_an_old_version(s3, tmp_path: Path) -> None:
    with LakeFolder(tmp_path).mirrored():
        old = s3.put_object(Bucket=BUCKET, Key="kept", Body=b"old")["VersionId"]
        s3.put_object(Bucket=BUCKET, Key="kept", Body=b"new")
        s3.put_object(Bucket=BUCKET, Key="gone", Body=b"")
        s3.delete_object(Bucket=BUCKET, Key="kept", VersionId=old)
        s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "gone"}]})

    assert files(tmp_path) == {"landing/kept": b"new"}


def test_loaded_bucket_holds_what_the_folder_holds(s3, tmp_path: Path) -> None:
    with LakeFolder(tmp_path).mirrored():
        s3.put_object(Bucket=BUCKET, Key="data/staff/batch=00000001/ab.parquet", Body=b"PAR1")
    (tmp_path / BUCKET / "data" / ".half.part").write_bytes(b"PA")
    s3.create_bucket(Bucket="again")
    (tmp_path / BUCKET).rename(tmp_path / "again")
    LakeFolder(tmp_path).load(s3_backends[DEFAULT_ACCOUNT_ID]["aws"], "again")

    listed = s3.list_objects_v2(Bucket="again")["Contents"]
    assert [item["Key"] for item in listed] == ["data/staff/batch=00000001/ab.parquet"]
    assert s3.get_object(Bucket="again", Key=listed[0]["Key"])["Body"].read() == b"PAR1"


def test_key_that_leads_out_of_the_folder_is_refused(s3, tmp_path: Path) -> None:
    with LakeFolder(tmp_path / "lake").mirrored(), pytest.raises(ValueError, match="leads out of"):
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(BUCKET, "../../escaped", b"")

    assert files(tmp_path) == {}
