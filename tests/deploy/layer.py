"""The deployed layer, built again for this machine's processor: the layer for arm64 does not run here."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.deploy.stage import ROOT

REQUIREMENTS = ROOT / "requirements.txt"
DEPLOYED_PROCESSOR = "aarch64"
# As in resources/python.js: pip then writes bytecode that is checked by hash.
SOURCE_DATE_EPOCH = "315532800"


@dataclass(frozen=True)
class Runtime:
    """An interpreter and the folder of its packages, which run the uploaded functions."""

    python: Path
    packages: Path


def python_of_the_runtime() -> Path | None:
    """Returns the Python 3.13 with which resources/python.js builds the layer; None if there is none."""
    for candidate in (os.environ.get("TOTES_PYTHON"), "python3.13"):
        if candidate and (found := shutil.which(candidate)) and _version(found) == "3.13":
            return Path(found)
    return None


def runs_here() -> bool:
    """Returns whether wheels for Lambda's Linux run on this machine, apart from the processor."""
    return sys.platform == "linux" and python_of_the_runtime() is not None


def twin() -> Path:
    """Builds the layer's folder by the same pip with the same arguments; the plugin's own code makes it slim.

    It is kept in build/ under a name made from its inputs.
    """
    options = _plugin_options()
    recipe = json.dumps(options, sort_keys=True) + REQUIREMENTS.read_text(encoding="utf-8")
    folder = ROOT / "build" / "twin" / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _install(options, unfinished)
        _slim(options, unfinished)
        unfinished.rename(folder)
    return folder


def _plugin_options() -> dict[str, Any]:
    printed = subprocess.run(
        ["npx", "sls", "print", "--path", "custom.pythonRequirements", "--format", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    options: dict[str, Any] = json.loads(printed.stdout)
    return options


def _install(options: dict[str, Any], folder: Path) -> None:
    arguments = [argument.replace(DEPLOYED_PROCESSOR, platform.machine()) for argument in options["pipCmdExtraArgs"]]
    subprocess.run(
        [options["pythonBin"], "-m", "pip", "install", "-q", *arguments, "-t", folder, "-r", REQUIREMENTS],
        env=os.environ | {"SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH},
        check=True,
    )


def _slim(options: dict[str, Any], folder: Path) -> None:
    plugin = "const [options, folder] = process.argv.slice(1); "
    plugin += "require('serverless-python-requirements/lib/slim').deleteFiles(JSON.parse(options), folder)"
    subprocess.run(["node", "-e", plugin, json.dumps(options), folder], cwd=ROOT, check=True)


@cache
def _version(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
