"""Compiles the CloudFormation template of `sls deploy`, without an account and without building the layer.

`python -m local.aws.template FOLDER dev prod` writes FOLDER/dev.json and FOLDER/prod.json, for linters.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local.aws.deployment import ROOT, SERVERLESS
from local.aws.server import moto_server

_OSLS = ROOT / "node_modules" / "osls" / "bin" / "serverless.js"
_NOBODY = "testing"
_COMPILED = "cloudformation-template-update-stack.json"


class NotCompiled(Exception):
    """osls failed; the message is its output."""


def compile_templates(folder: Path, stages: Sequence[str]) -> None:
    """Writes `<stage>.json` for each stage.

    Raises:
        NotCompiled: osls rejects serverless.yml.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # To name the layer's next version, osls asks CloudFormation whether the stack exists. moto answers no.
    with moto_server() as endpoint, ThreadPoolExecutor() as workers:
        for stage, text in zip(stages, workers.map(lambda stage: _compiled(stage, endpoint), stages), strict=True):
            (folder / f"{stage}.json").write_text(text, encoding="utf-8")


def _compiled(stage: str, endpoint: str) -> str:
    # Drops the caller's AWS variables, so that no profile or session token reaches a real account.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": _NOBODY,
        "AWS_SECRET_ACCESS_KEY": _NOBODY,
        "SLS_TELEMETRY_DISABLED": "1",
    }
    with tempfile.TemporaryDirectory() as name:
        service = Path(name)
        for needed in ("resources", "statemachine", "functions", "totes", "schemas", "node_modules"):
            (service / needed).symlink_to(ROOT / needed)
        shutil.copy(SERVERLESS, service)
        # Writes an empty requirements file: the layer is empty, but the template declares it like the real one.
        (service / "requirements.txt").write_text("\n", encoding="utf-8")
        # Safe: our own osls, a stage from the Makefile, and the installed Node.
        done = subprocess.run(  # noqa: S603  # nosec B607
            ["node", _OSLS, "package", "--stage", stage, "--package", "compiled"],  # noqa: S607
            cwd=service,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotCompiled(f"osls can't package stage {stage}:\n{done.stdout}{done.stderr}")
        return (service / "compiled" / _COMPILED).read_text(encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    folder, *stages = arguments
    try:
        compile_templates(Path(folder), stages)
    except NotCompiled as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
