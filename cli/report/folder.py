"""Writes a report's folder whole: it is made beside its place, and put there when it is complete."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cli.errors import Misused

# In each folder that is a report, and so may be replaced.
MARKER = "totes-report.json"


def check_replaceable(folder: Path) -> None:
    """Raises Misused if a folder has files and is no report of ours, or is no folder."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Misused(f"{folder} is a file. Name a folder for the report.")
    if any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise Misused(f"{folder} has files that no report left there. Name a new or empty folder.")


def write_folder(folder: Path, files: Mapping[str, bytes], marker: Mapping[str, str]) -> None:
    """Replaces a folder by one that has these files, by their paths in it. If it fails, the former one is as it was.

    Raises:
        Misused: the folder is not ours to replace.
        OSError: the files can't be written.
    """
    folder = folder.resolve()
    check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        made, former = Path(beside) / "made", Path(beside) / "former"
        for name, content in {**files, MARKER: json.dumps(marker, indent=2).encode()}.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if folder.exists():
            shutil.move(folder, former)
        try:
            made.rename(folder)
        except OSError:
            if former.exists():
                former.rename(folder)
            raise
