"""One deployment by the real `npx sls deploy`, into moto, for all tests of this folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pg8000.native import identifier

from local.aws import environment_of, moto_server
from local.databases import LOADER, READER
from local.moto_repairs import conditional_writes_are_atomic, functions_run
from local.postgres import Postgres
from local.state import StackState
from tests.deploy import layer
from tests.deploy.moto_cloudformation import cloudformation_repaired
from tests.deploy.stage import ROOT, Stage
from tests.deploy.uploaded_functions import UploadedFunctions


@dataclass(frozen=True)
class Runtime:
    """What runs the uploaded functions: an interpreter and the folder of its packages."""

    python: Path
    packages: Path


@pytest.fixture(scope="package")
def serverless() -> None:
    """Skips where `sls` can't be run."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node is not installed, so nothing can be deployed: see package.json for the version")
    if not (ROOT / "node_modules" / ".bin" / "sls").exists():
        installed = subprocess.run(["npm", "ci"], cwd=ROOT, capture_output=True, text=True, check=False)
        if installed.returncode:
            pytest.skip(f"`npm ci` cannot install what package.json lists: {installed.stderr[-500:]}")


@pytest.fixture(scope="package")
def runtime(serverless: None) -> Runtime:
    """Python 3.13 and the slim layer; where they can't run here, the interpreter and the packages of these tests."""
    python = layer.python_of_the_runtime()
    if python and layer.runs_here():
        return Runtime(python, layer.twin())
    return Runtime(Path(sys.executable), Path(sysconfig.get_path("purelib")))


@pytest.fixture(scope="package")
def stage(runtime: Runtime, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage `dev`, deployed, with its secrets empty."""
    folder = tmp_path_factory.mktemp("functions")
    deployed = Stage()
    functions = UploadedFunctions(deployed, runtime.python, runtime.packages, folder)
    with moto_server() as endpoint:
        names = Stage.names
        aws = StackState(endpoint, names.region, names.account, postgres.host, postgres.port, "", "", os.getpid())
        with (
            environment_of(aws),
            cloudformation_repaired(),
            conditional_writes_are_atomic(),
            functions_run(functions),
        ):
            deployed.sls("deploy")
            yield deployed


@dataclass(frozen=True)
class Databases:
    """A totesys with a little of our own seed and a warehouse without anything, with their credentials."""

    postgres: Postgres
    source: dict[str, str | int]
    warehouse: dict[str, str | int]

    def count(self, which: dict[str, str | int], table: str) -> int:
        count: int = self.postgres.execute(f"SELECT count(*) FROM {identifier(table)}", str(which["dbname"]))[0][0]
        return count


@pytest.fixture(scope="package")
def databases(postgres: Postgres, passwords: dict[str, str], seeded_totesys: str) -> Databases:
    postgres.execute(f"CREATE DATABASE deployed_totesys TEMPLATE {identifier(seeded_totesys)}")
    postgres.create_database("deployed_warehouse", owner=LOADER)

    def secret(database: str, role: str) -> dict[str, str | int]:
        place = {"host": postgres.host, "port": postgres.port}
        return place | {"dbname": database, "username": role, "password": passwords[role]}

    return Databases(postgres, secret("deployed_totesys", READER), secret("deployed_warehouse", LOADER))
