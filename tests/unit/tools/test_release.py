import json
from pathlib import Path

import pytest

from tools.release import ReleaseInvalid, release_notes

CHANGELOG = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-11-30

### Added

- A thing.

## [0.1.0] - 2026-11-01

- Everything.

[Unreleased]: https://example.org
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n')
    (tmp_path / "package.json").write_text(json.dumps({"version": "0.2.0"}))
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def test_notes_are_the_section_of_the_release(project: Path) -> None:
    assert release_notes("v0.2.0", project) == "### Added\n\n- A thing.\n"


def test_last_section_ends_before_the_links(project: Path) -> None:
    for name in ("pyproject.toml", "package.json"):
        path = project / name
        path.write_text(path.read_text().replace("0.2.0", "0.1.0"))
    assert release_notes("v0.1.0", project) == "- Everything.\n"


@pytest.mark.parametrize("tag", ["0.2.0", "v0.2", "v0.3.0", "v", "main"])
def test_tag_of_another_version_is_refused(project: Path, tag: str) -> None:
    with pytest.raises(ReleaseInvalid, match="Tag the release as v<version>"):
        release_notes(tag, project)


@pytest.mark.parametrize("name", ["pyproject.toml", "package.json"])
def test_version_of_each_file_counts(project: Path, name: str) -> None:
    (project / name).write_text((project / name).read_text().replace("0.2.0", "0.1.9"))
    with pytest.raises(ReleaseInvalid, match=r"0\.1\.9"):
        release_notes("v0.2.0", project)


@pytest.mark.parametrize("heading", ["## [0.2.0]", "## [Unreleased]", "## [0.2.0] - soon"])
def test_section_without_a_date_is_none(project: Path, heading: str) -> None:
    (project / "CHANGELOG.md").write_text(CHANGELOG.replace("## [0.2.0] - 2026-11-30", heading))
    with pytest.raises(ReleaseInvalid, match="no dated section"):
        release_notes("v0.2.0", project)


def test_this_project_can_be_released() -> None:
    version = json.loads((Path(__file__).parents[3] / "package.json").read_text())["version"]
    assert release_notes(f"v{version}")
