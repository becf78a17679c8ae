"""Deploys once into moto with the real `npx sls deploy`, for all tests of this folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from pg8000.native import identifier

from local.aws.moto_repairs import conditional_writes_are_atomic, functions_run, modules_are_listed_once
from local.aws.server import environment_of, moto_server
from local.postgres.databases import LOADER, READER
from local.postgres.server import Postgres
from local.state import StackState
from tests.deploy import layer
from tests.deploy.layer import Runtime
from tests.deploy.moto_cloudformation import cloudformation_repaired
from tests.deploy.stage import ROOT, Databases, Stage, service_copy
from tests.deploy.summary import MEASURED, UNPROVEN
from tests.deploy.uploaded_functions import UploadedFunctions

FOLDER = "tests/deploy/"


@pytest.fixture(scope="package")
def serverless() -> None:
    """Skips the tests if `sls` can't run."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node is not installed, so nothing can be deployed: see package.json for the version")
    if not (ROOT / "node_modules" / ".bin" / "sls").exists():
        installed = subprocess.run(["npm", "ci"], cwd=ROOT, capture_output=True, text=True, check=False)
        if installed.returncode:
            pytest.skip(f"`npm ci` cannot install what package.json lists: {installed.stderr[-500:]}")


@pytest.fixture(scope="package")
def runtime(serverless: None) -> Runtime:
    """Returns Python 3.13 and the slim layer; if they can't run here, the tests' interpreter and packages."""
    python = layer.python_of_the_runtime()
    if python and layer.runs_here():
        MEASURED.append("The functions ran under Python 3.13, from the uploaded zip and the slim layer alone.")
        return Runtime(python, layer.twin())
    MEASURED.append("The functions ran from the uploaded zip, but without the layer: no Python 3.13 on Linux here.")
    return Runtime(Path(sys.executable), Path(sysconfig.get_path("purelib")))


@pytest.fixture(scope="package")
def functions(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> UploadedFunctions:
    """Runs what is deployed in the stage."""
    stage = Stage(service_copy(tmp_path_factory.mktemp("service")))
    return UploadedFunctions(stage, runtime.python, runtime.packages, tmp_path_factory.mktemp("functions"))


@pytest.fixture(scope="package")
def stage(functions: UploadedFunctions, postgres: Postgres) -> Iterator[Stage]:
    """Yields the stage `dev`, deployed, with empty secrets."""
    with moto_server() as endpoint:
        names = Stage.names
        aws = StackState(endpoint, names.region, names.account, postgres.host, postgres.port, "", "", os.getpid())
        with (
            environment_of(aws),
            cloudformation_repaired(),
            conditional_writes_are_atomic(),
            functions_run(functions),
            modules_are_listed_once(),
        ):
            functions.stage.sls("deploy")
            yield functions.stage


@pytest.fixture(scope="package")
def databases(postgres: Postgres, passwords: dict[str, str], seeded_totesys: str) -> Databases:
    postgres.execute(f"CREATE DATABASE deployed_totesys TEMPLATE {identifier(seeded_totesys)}")
    postgres.create_database("deployed_warehouse", owner=LOADER)

    def secret(database: str, role: str) -> dict[str, str | int]:
        place = {"host": postgres.host, "port": postgres.port}
        return place | {"dbname": database, "username": role, "password": passwords[role]}

    return Databases(postgres, secret("deployed_totesys", READER), secret("deployed_warehouse", LOADER))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Reports what was proven, what was measured, and what a stand-in for AWS cannot prove."""
    passed = [report.nodeid for report in terminalreporter.getreports("passed") if report.nodeid.startswith(FOLDER)]
    if not passed:
        return
    terminalreporter.section("proven by the deployment into moto")
    for sentence in dict.fromkeys(node.partition("::test_")[2].partition("[")[0].replace("_", " ") for node in passed):
        terminalreporter.line(f"  {sentence}")
    for measurement in MEASURED:
        terminalreporter.line(measurement)
    terminalreporter.section("not proven: check it in a real account")
    for what, check in UNPROVEN:
        terminalreporter.line(f"- {what}\n  -> {check}")
