"""Writes the files that are made from declarations: the dictionary, the lake's tables and views, parts of two pages.

`python -m tools.docs` writes them; with `--check` they are only compared, and the exit code is 1 where one is stale.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.aws.deployment import ROOT
from tools.docs import costs, dictionary, glue, infrastructure, lake, types

Files = Callable[[], Mapping[Path, str]]
MADE: tuple[Files, ...] = (dictionary.files, lake.files, glue.files, costs.files, infrastructure.files, types.files)


def main(arguments: Sequence[str]) -> None:
    """Writes the files, or with `--check` exits with a message where one differs."""
    texts = {path: text for files in MADE for path, text in files().items()}
    if "--check" in arguments:
        stale = [str(path.relative_to(ROOT)) for path, text in texts.items() if not _is(path, text)]
        if stale:
            sys.exit(f"Not what the declarations say: {', '.join(stale)}. Run `make docs` and commit them.")
        return
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    main(sys.argv[1:])
