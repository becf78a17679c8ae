"""Keeps the lake between runs: moto holds objects in memory, and this module writes each through to a folder.

A bucket's object `log/00000124.json` is the file `<folder>/<bucket>/log/00000124.json`, so any tool can read the lake.
Only the bytes of each object's latest version are kept, without its metadata.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moto.s3.models import S3Backend

from local.aws.moto_repairs import replaced


class LakeFolder:
    """A folder that mirrors the buckets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def load(self, s3: S3Backend, bucket: str) -> None:
        """Fills an empty bucket with an earlier run's objects."""
        root = self._folder / bucket
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                s3.put_object(bucket, path.relative_to(root).as_posix(), path.read_bytes())

    @contextlib.contextmanager
    def mirrored(self) -> Iterator[None]:
        """Writes every object to the folder before the put is confirmed."""
        put, delete = S3Backend.put_object, S3Backend.delete_object

        def put_object(s3: S3Backend, bucket_name: str, key_name: str, value: bytes, *args: Any, **options: Any) -> Any:
            self._write(self._path(bucket_name, key_name), value)
            return put(s3, bucket_name, key_name, value, *args, **options)

        def delete_object(s3: S3Backend, bucket_name: str, key_name: str, *args: Any, **options: Any) -> Any:
            deleted = delete(s3, bucket_name, key_name, *args, **options)
            if s3.get_object(bucket_name, key_name) is None:
                self._path(bucket_name, key_name).unlink(missing_ok=True)
            return deleted

        with replaced(S3Backend, "put_object", put_object), replaced(S3Backend, "delete_object", delete_object):
            yield

    def _path(self, bucket: str, key: str) -> Path:
        path = self._folder / bucket / key
        if not Path(os.path.normpath(path)).is_relative_to(self._folder / bucket):
            raise ValueError(f"The key {key!r} of bucket {bucket} leads out of {self._folder}, so it is not stored.")
        return path

    @staticmethod
    def _write(path: Path, value: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Writes under another name first: a killed process must not leave half an object under the object's name.
        unfinished = path.with_name(f".{path.name}.part")
        unfinished.write_bytes(value)
        unfinished.replace(path)
