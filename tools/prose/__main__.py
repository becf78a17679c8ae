"""Checks the English of files, and of folders with all that is below: `python -m tools.prose README.md docs`.

Exits with 1 and a line for each finding if there are any.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.prose.passages import passages
from tools.prose.rules import findings

_READ = {".md", ".py", ".sql", ".toml", ".yml"}


def main(arguments: Sequence[str]) -> None:
    """Exits with a line for each finding, if there are any."""
    paths = [path for argument in arguments for path in _files(Path(argument))]
    wrong = [f"{path}:{finding.line}: {finding.message}" for path in paths for finding in findings(passages(path))]
    if wrong:
        sys.exit("\n".join(wrong))


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if file.suffix in _READ)
    else:
        yield path


if __name__ == "__main__":
    main(sys.argv[1:])
