"""Checks a tag against version and changelog, and prints the release notes: `python -m tools.release v0.2.0`."""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


class ReleaseInvalid(Exception):
    """The tag, the versions and the changelog contradict each other."""


def release_notes(tag: str, root: Path = ROOT) -> str:
    """Returns the changelog's section for a release, without its heading.

    Raises:
        ReleaseInvalid: the tag's version differs from pyproject.toml's or package.json's, or the changelog has no dated
            section for it.
    """
    version = tag.removeprefix("v")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    package = json.loads((root / "package.json").read_text(encoding="utf-8"))["version"]
    if {project, package, f"v{version}"} != {version, tag}:
        raise ReleaseInvalid(
            f"The tag is {tag}, pyproject.toml has {project} and package.json {package}. "
            "Tag the release as v<version>, with the version in both files."
        )
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(
        rf"^## \[{re.escape(version)}\] - [0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}\n(.*?)(?=^## \[|^\[|\Z)",
        changelog,
        re.MULTILINE | re.DOTALL,
    )
    if section is None or not section[1].strip():
        raise ReleaseInvalid(
            f"CHANGELOG.md has no dated section for {version}. Rename *Unreleased* to ## [{version}] - YYYY-MM-DD."
        )
    return section[1].strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(release_notes(sys.argv[1]))
    except ReleaseInvalid as error:
        sys.exit(str(error))
