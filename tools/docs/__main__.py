"""Generates files from declarations: the data dictionary, the lake's tables and views, and parts of other pages.

`python -m tools.docs` writes the files. With `--check` it only compares them, and exits with 1 if one is stale.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.aws.deployment import ROOT
from tools.docs import costs, dictionary, glue, infrastructure, lake, types

Files = Callable[[], Mapping[Path, str]]
MADE: tuple[Files, ...] = (dictionary.files, lake.files, glue.files, costs.files, infrastructure.files, types.files)


def main(arguments: Sequence[str]) -> None:
    """Writes the files. With `--check`, exits with a message if one differs."""
    texts = {path: text for files in MADE for path, text in files().items()}
    if "--check" in arguments:
        stale = [str(path.relative_to(ROOT)) for path, text in texts.items() if not _is(path, text)]
        if stale:
            sys.exit(f"These files differ from the declarations: {', '.join(stale)}. Run `make docs` and commit them.")
        return
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    main(sys.argv[1:])
