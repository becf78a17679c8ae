"""A bucket of the lake, in which nothing is ever overwritten or amended.

Objects are named after their content and written with `If-None-Match: *`: to write the same bytes twice is to write
them once, and two writers can't both create one key.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from totes.errors import RESTORE, AccessDenied, CorruptObject, LakeUnavailable, ObjectMissing, TotesError
from totes.runtime.aws import client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The remedy if an object and its manifest contradict each other, whichever of them was changed.
FIRST_VERSIONS = (
    "Restore the first versions of the object and of its manifest in S3 (the buckets are versioned); the next "
    "execution then resumes."
)
_ALREADY_THERE = {"PreconditionFailed", "412"}
_REFUSED = {"AccessDenied", "403", "NoSuchBucket", "InvalidAccessKeyId", "KMS.DisabledException"}
_MISSING = {"NoSuchKey", "404", "NoSuchVersion"}
_CHUNK = 1 << 20


@dataclass(frozen=True)
class StoredObject:
    """An object as its manifest knows it: enough to read it and to tell that it is unharmed."""

    key: str
    rows: int
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def require_rows(self, found: int) -> None:
        """Compares how many rows were found in it with what its manifest says.

        Raises:
            CorruptObject: they differ.
        """
        if found != self.rows:
            raise CorruptObject(f"{self.key} holds {found} rows; its manifest says {self.rows}.", FIRST_VERSIONS)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Lake:
    """One bucket.

    Raises:
        LakeUnavailable: S3 throttles or fails after its own retries.
        AccessDenied: the bucket or the permission is missing.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._client: S3Client = client("s3")

    def add(self, path: Path, folder: str, rows: int) -> StoredObject:
        """Stores a file under `<folder>/<first half of its sha256>.parquet`."""
        sha256 = sha256_of(path)
        stored = StoredObject(f"{folder}/{sha256[:32]}.parquet", rows, path.stat().st_size, sha256)
        with path.open("rb") as body:
            self._put_if_absent(stored.key, body)
        return stored

    def add_json(self, key: str, document: object) -> bool:
        """Stores a document under a key that must be free; False where somebody else has taken it."""
        return self._put_if_absent(key, _json_bytes(document))

    def replace_hint(self, key: str, document: object) -> None:
        """Stores a hint: the one kind of object that may be overwritten, because losing it does no harm."""
        with _lake_errors(self.bucket, key):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=_json_bytes(document))

    def read(self, key: str) -> bytes | None:
        """The bytes of a small object; None where there is none."""
        try:
            with _lake_errors(self.bucket, key):
                body: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ObjectMissing:
            return None
        return body

    def require(self, key: str) -> None:
        """Looks whether an object is there and may be read, without reading it.

        Raises:
            ObjectMissing: it is not there.
        """
        with _lake_errors(self.bucket, key):
            self._client.head_object(Bucket=self.bucket, Key=key)

    def try_to_add(self, key: str) -> bool:
        """Puts an object once more under its own key, which S3 refuses as taken if objects may be put at all.

        Nothing changes: the condition keeps what is there, and if it went meanwhile, it comes back as it was.

        Returns:
            whether there was an object to try it with.
        """
        found = self.read(key)
        return found is not None and self._put_if_absent(key, found) is not None

    def fetch(self, stored: StoredObject, path: Path) -> Path:
        """Downloads an object to `path` in pieces, and makes sure that it is what its manifest says.

        Raises:
            ObjectMissing: it is not there.
            CorruptObject: its bytes are not those that were written.
        """
        digest = hashlib.sha256()
        with _lake_errors(self.bucket, stored.key), path.open("wb") as file:
            body = self._client.get_object(Bucket=self.bucket, Key=stored.key)["Body"]
            for chunk in body.iter_chunks(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != stored.sha256:
            raise CorruptObject(
                f"s3://{self.bucket}/{stored.key} holds {path.stat().st_size} bytes with sha256 {digest.hexdigest()}; "
                f"its manifest says {stored.bytes} bytes with {stored.sha256}.",
                FIRST_VERSIONS,
            )
        return path

    def keys(self, prefix: str, after: str) -> Iterator[str]:
        """All keys that begin with `prefix` and sort behind `after`, in order, however many there are."""
        with _lake_errors(self.bucket, prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, StartAfter=after
            )
            for page in pages:
                for item in page.get("Contents", []):
                    yield item["Key"]

    def _put_if_absent(self, key: str, body: Any) -> bool:
        try:
            with _lake_errors(self.bucket, key):
                self._client.put_object(Bucket=self.bucket, Key=key, Body=body, IfNoneMatch="*")
        except _AlreadyThereError:
            return False
        return True


class _AlreadyThereError(Exception):
    """The key is taken."""


def _json_bytes(document: object) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


@contextmanager
def _lake_errors(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _translated(error, f"s3://{bucket}/{key}") from error
    except BotoCoreError as error:
        raise LakeUnavailable(f"s3://{bucket}/{key}: {error}.") from error


def _translated(error: ClientError, where: str) -> TotesError | _AlreadyThereError:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _ALREADY_THERE:
        return _AlreadyThereError(where)
    if code in _MISSING:
        return ObjectMissing(f"{where} is not there.", RESTORE)
    if code in _REFUSED:
        return AccessDenied(
            f"{where}: S3 says {code}.",
            "Check that the bucket exists, and that the role which asks may use it and its key.",
        )
    return LakeUnavailable(f"{where}: S3 says {code}.")
