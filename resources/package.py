"""Builds the packages that `sls deploy` uploads, offline, and fails if they are too large: `make package`.

Lambda takes 262 MB of layer and function together, unzipped. The limit here leaves room for a next release of pyarrow.
It also writes the layer's list of packages as CycloneDX, which a scanner can check for a deployed layer.
"""

import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from local.aws.server import moto_server
from local.state import StackState

ROOT = Path(__file__).resolve().parent.parent
LAYER = ROOT / ".serverless" / "pythonRequirements.zip"
FUNCTION = ROOT / ".serverless" / "totes.zip"
MATERIALS = ROOT / "build" / "layer.cdx.json"
LIMIT = 225_000_000


class PackageTooBig(Exception):
    """Layer and function together exceed the limit."""


def package(stage: str = "dev") -> None:
    """Runs `sls package`. An empty stand-in for AWS answers its one question: which layer the stack has now.

    Raises:
        CalledProcessError: it failed, and wrote the reason to standard error.
    """
    with moto_server() as endpoint:
        aws = StackState(endpoint, "eu-west-2", "123456789012", "", 0, "", "", os.getpid())
        environment = dict(os.environ)
        aws.point_here(environment)
        subprocess.run(["npx", "sls", "package", "--stage", stage], cwd=ROOT, env=environment, check=True)  # noqa: S603, S607


def unzipped(archive: Path) -> int:
    """Returns the bytes that an archive takes when it is unpacked."""
    with zipfile.ZipFile(archive) as content:
        return sum(entry.file_size for entry in content.infolist())


def report(layer: int, function: int) -> str:
    """Returns the sizes, in bytes, as a sentence.

    Raises:
        PackageTooBig: the sizes together exceed the limit.
    """
    sizes = f"Unzipped: layer {layer / 1e6:.1f} MB, function {function / 1e6:.1f} MB, limit {LIMIT / 1e6:.0f} MB."
    if layer + function > LIMIT:
        raise PackageTooBig(
            f"{sizes} They are {(layer + function - LIMIT) / 1e6:.1f} MB too large together: find large files with "
            f"`unzip -lv {LAYER.relative_to(ROOT)} | sort -n`, and add what no function imports to slimPatterns in "
            "serverless.yml."
        )
    return sizes


def write_materials(layer: Path, to: Path) -> None:
    """Writes a CycloneDX document of the packages in a layer, by the packages' own metadata."""
    with zipfile.ZipFile(layer) as content:
        found = [name for name in content.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = [message_from_bytes(content.read(name)) for name in found]
    bom = Bom(components=[_component(package["Name"], package["Version"]) for package in metadata])
    to.parent.mkdir(parents=True, exist_ok=True)
    make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_to_file(str(to), allow_overwrite=True, indent=2)


def _component(name: str, version: str) -> Component:
    address = PackageURL("pypi", name=name.lower().replace("_", "-"), version=version)
    return Component(name=name, version=version, type=ComponentType.LIBRARY, purl=address, bom_ref=str(address))


def main() -> None:
    """Runs the command."""
    try:
        package()
        write_materials(LAYER, MATERIALS)
        sys.stdout.write(report(unzipped(LAYER), unzipped(FUNCTION)) + "\n")
    except (PackageTooBig, subprocess.CalledProcessError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
