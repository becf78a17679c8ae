"""Computes a digest of the code, by which `totes doctor` compares the deployed copy with a checkout."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

# The files that are deployed: see `package` in serverless.yml.
_PACKED = (("functions", "*.py"), ("totes", "*"), ("schemas", "*"))
ROOT = Path(__file__).resolve().parents[3]


def code_digest(root: Path = ROOT) -> str:
    """Returns a digest of 12 digits of all deployed files, their names and contents."""
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
