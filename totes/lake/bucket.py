"""A bucket of the lake, in which nothing but hints is ever overwritten.

Objects are named after their content and written with `If-None-Match: *`. So the second write of the same bytes changes
nothing, and two writers can't both create one key.
"""

import hashlib
import json
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from obstore.exceptions import AlreadyExistsError, BaseError, GenericError

from totes.errors import RESTORE, AccessDenied, CorruptObject, LakeUnavailable, ObjectMissing, TotesError
from totes.runtime.aws import store

# The remedy if an object and its manifest contradict each other. Either one may have been changed.
FIRST_VERSIONS = (
    "Restore the first versions of the object and of its manifest in S3 (the buckets are versioned); the next "
    "execution then resumes."
)
_REFUSED = {"AccessDenied", "403", "NoSuchBucket", "InvalidAccessKeyId", "KMS.DisabledException"}
_MISSING = {"NoSuchKey", "404", "NoSuchVersion"}
# Somebody else is writing or deleting the key, so it is not known whether the object will be there.
_CONFLICT = "ConditionalRequestConflict"
_RESET = "kind: Interrupted"
_CHUNK = 1 << 18


@dataclass(frozen=True)
class StoredObject:
    """An object, as its manifest describes it: enough to read it and to check that it is intact."""

    key: str
    rows: int
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))

    def require_rows(self, found: int) -> None:
        """Compares the number of rows that were found with the manifest's.

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
        self._store = store(bucket)

    def add(self, path: Path, folder: str, rows: int) -> StoredObject:
        """Stores a file under `<folder>/<first half of its sha256>.parquet`."""
        sha256 = sha256_of(path)
        stored = StoredObject(f"{folder}/{sha256[:32]}.parquet", rows, path.stat().st_size, sha256)
        # The file is mapped, so it takes no memory of its own, whatever its size.
        with path.open("rb") as file:
            self._put_if_absent(stored.key, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return stored

    def add_json(self, key: str, document: object) -> bool:
        """Stores a document under a key that must be free; returns False if somebody else has taken it."""
        return self._put_if_absent(key, _json_bytes(document))

    def replace_hint(self, key: str, document: object) -> None:
        """Stores a hint, the only kind of object that may be overwritten: losing one does no harm."""
        with _lake_errors(self.bucket, key):
            self._store.put(key, _json_bytes(document))

    def read(self, key: str) -> bytes | None:
        """Returns a small object's bytes; None if there is no such object."""
        try:
            with _lake_errors(self.bucket, key):
                return bytes(self._store.get(key).bytes())
        except ObjectMissing:
            return None

    def require(self, key: str) -> None:
        """Checks that an object is there and may be read, without reading it.

        Raises:
            ObjectMissing: it is not there.
        """
        with _lake_errors(self.bucket, key):
            self._store.head(key)

    def try_to_add(self, key: str) -> bool:
        """Checks the right to put objects: it puts an object again under its own key.

        If the right is there, S3 refuses the key as taken, and nothing changes. If somebody deleted the object
        meanwhile, it comes back as it was.

        Returns:
            whether there was an object to try it with.
        """
        found = self.read(key)
        return found is not None and self._put_if_absent(key, found) is not None

    def fetch(self, stored: StoredObject, path: Path) -> Path:
        """Downloads an object to `path` in pieces, and compares its sha256 with the manifest's.

        Raises:
            ObjectMissing: it is not there.
            CorruptObject: its bytes are not those that were written.
        """
        digest = hashlib.sha256()
        with path.open("wb") as file, _lake_errors(self.bucket, stored.key):
            for chunk in self._store.get(stored.key).stream(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != stored.sha256:
            raise CorruptObject(
                f"s3://{self.bucket}/{stored.key} holds {path.stat().st_size} bytes with sha256 {digest.hexdigest()}; "
                f"its manifest says {stored.bytes} bytes with {stored.sha256}.",
                FIRST_VERSIONS,
            )
        return path

    def keys(self, folder: str, after: str) -> list[str]:
        """Returns all keys in a folder that sort after `after`, in order, however many there are."""
        with _lake_errors(self.bucket, folder):
            return [found["path"] for found in self._store.list(folder, offset=after).collect()]

    def _put_if_absent(self, key: str, body: bytes | mmap.mmap) -> bool:
        try:
            with _lake_errors(self.bucket, key):
                self._create(key, body)
        except _AlreadyThereError:
            return False
        return True

    def _create(self, key: str, body: bytes | mmap.mmap) -> None:
        """Puts an object; tries again if the connection was reset: S3 closes connections while a function sleeps.

        The library itself retries a conditional PUT only after other errors.
        """
        try:
            self._store.put(key, body, mode="create")
        except GenericError as error:
            if _RESET not in str(error):
                raise
            self._store.put(key, body, mode="create")


class _AlreadyThereError(Exception):
    """An object with this key is there already."""


def _json_bytes(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


@contextmanager
def _lake_errors(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        # `from None`, because the error's text quotes S3's answer, which to a wrong signature has the session token.
        raise _translated(error, f"s3://{bucket}/{key}") from None


def _translated(error: Exception, where: str) -> TotesError | _AlreadyThereError:
    code = _code(str(error))
    # The library mistakes a conflict for a key that is taken.
    if isinstance(error, AlreadyExistsError) and code != _CONFLICT:
        return _AlreadyThereError(where)
    if code in _MISSING:
        return ObjectMissing(f"{where} is not there.", RESTORE)
    if code in _REFUSED:
        return AccessDenied(
            f"{where}: S3 says {code}.",
            "Check that the bucket exists, and that the role which asks may use it and its key.",
        )
    if code:
        return LakeUnavailable(f"{where}: S3 says {code}.")
    return LakeUnavailable(f"{where}: no answer from S3: {_reason(str(error))}.")


def _code(text: str) -> str:
    """Returns the code in S3's answer, which the error quotes; the HTTP status if the answer is empty, as for HEAD."""
    found = re.search(r"<Code>([\w.]+)</Code>", text) or re.search(r"status code: (\d+)", text)
    return found[1] if found else ""


def _reason(text: str) -> str:
    """Returns why there is no answer: the innermost source, at the end of the error's text."""
    found = re.findall(r'"[^"]+"|\b[A-Z]\w+', text)
    return found[-1].strip('"') if found else text
