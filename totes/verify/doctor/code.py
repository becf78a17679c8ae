"""Tells whether two copies of the code are the same: the one that is deployed, and a checkout."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

# What is packed, see `package` in serverless.yml.
_PACKED = (("functions", "*.py"), ("totes", "*"), ("schemas", "*"))
ROOT = Path(__file__).resolve().parents[3]


def code_digest(root: Path = ROOT) -> str:
    """Returns 12 digits that stand for all files which are packed, by their names and contents."""
    digest = hashlib.sha256()
    for path in sorted(_files(root)):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _files(root: Path) -> Iterator[Path]:
    for folder, pattern in _PACKED:
        for path in (root / folder).rglob(pattern):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path
