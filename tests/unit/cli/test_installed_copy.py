import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from local.aws.deployment import ROOT


def test_installed_copy_says_where_it_works(tmp_path: Path) -> None:
    # Built from a copy: setuptools leaves its own files in the folder from which it builds.
    names = [pattern.rstrip("*") for pattern in _settings()["packages"]["find"]["include"]]
    for path in (ROOT / name for name in [*names, "pyproject.toml", "requirements.in", "README.md"]):
        (tmp_path / path.name).symlink_to(path)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    subprocess.run(
        [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, tmp_path], check=True
    )
    (wheel,) = tmp_path.glob("totes-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")

    done = subprocess.run(
        [sys.executable, "-m", "cli", "status"], cwd=tmp_path / "installed", capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"totes: {tmp_path / 'installed'} is not the project's folder: ")
    assert "Clone the project, run `make run` there" in done.stderr


def _settings() -> dict[str, dict[str, dict[str, list[str]]]]:
    settings: dict[str, dict[str, dict[str, list[str]]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
        "setuptools"
    ]
    return settings
