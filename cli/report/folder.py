"""Writes a report's folder atomically: builds it beside the target, then moves it there."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cli.errors import Misused

# Marks a folder as a report, which may be replaced.
MARKER = "totes-report.json"


def check_replaceable(folder: Path) -> None:
    """Raises Misused if the path is not a folder, or a folder with files that are not from a report."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Misused(f"{folder} is a file. Name a folder for the report.")
    if any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise Misused(f"{folder} has files that are not from a report. Name a new or empty folder.")


def write_folder(folder: Path, files: Mapping[str, bytes], marker: Mapping[str, str]) -> None:
    """Replaces a folder's content with these files, given by relative path. On failure, the old content stays.

    Raises:
        Misused: the folder has files that are not from a report.
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
