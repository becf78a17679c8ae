"""Packs what `sls deploy` uploads, offline, and fails where it leaves too little room: `make package`.

Lambda takes 262 MB of layer and function together, unzipped. The limit here leaves room for a next release of pyarrow.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from local.aws import moto_server
from local.state import StackState

ROOT = Path(__file__).resolve().parent.parent
LAYER = ROOT / ".serverless" / "pythonRequirements.zip"
FUNCTION = ROOT / ".serverless" / "totes.zip"
LIMIT = 225_000_000


class PackageTooBig(Exception):
    """Layer and function together exceed the limit."""


def package(stage: str = "dev") -> None:
    """Run `sls package`; an empty stand-in for AWS answers its one question, what layer the stack has now.

    Raises:
        CalledProcessError: it failed, and has said why on standard error.
    """
    with moto_server() as endpoint:
        aws = StackState(endpoint, "eu-west-2", "123456789012", "", 0, "", "", os.getpid())
        environment = dict(os.environ)
        aws.point_here(environment)
        subprocess.run(["npx", "sls", "package", "--stage", stage], cwd=ROOT, env=environment, check=True)  # noqa: S603, S607


def unzipped(archive: Path) -> int:
    """Bytes that an archive takes where it is unpacked."""
    with zipfile.ZipFile(archive) as content:
        return sum(entry.file_size for entry in content.infolist())


def report(layer: int, function: int) -> str:
    """The sizes, in bytes, as a sentence.

    Raises:
        PackageTooBig: together they exceed the limit.
    """
    sizes = f"Unzipped: layer {layer / 1e6:.1f} MB, function {function / 1e6:.1f} MB, limit {LIMIT / 1e6:.0f} MB."
    if layer + function > LIMIT:
        raise PackageTooBig(
            f"{sizes} They are {(layer + function - LIMIT) / 1e6:.1f} MB too big together: see what is large with "
            f"`unzip -lv {LAYER.relative_to(ROOT)} | sort -n`, and add what no function imports to slimPatterns in "
            "serverless.yml."
        )
    return sizes


def main() -> None:
    """The command."""
    try:
        package()
        sys.stdout.write(report(unzipped(LAYER), unzipped(FUNCTION)) + "\n")
    except (PackageTooBig, subprocess.CalledProcessError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
