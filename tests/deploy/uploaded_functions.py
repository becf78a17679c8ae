"""Runs the deployed functions from the upload: their zip on a layer, and nothing else of this checkout."""

import hashlib
import os
import subprocess
import tempfile
import zipfile
from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from local.lambda_runtime import worker
from local.lambda_runtime.runtime import Function, InvokeResult
from local.lambda_runtime.worker_process import WorkerProcess
from tests.deploy.stage import Stage

# -I and -S leave only the standard library on the path. -B is there because /var/task and /opt are read-only.
ISOLATED = ("-I", "-S", "-B")
BOOTSTRAP = """
import runpy, sys
_, worker, task, layer, handler = sys.argv
sys.path[:0] = [task, layer]
sys.argv = [worker, handler]
runpy.run_path(worker, run_name="__main__")
"""
COLD_START = """
import sys, time
_, task, layer, module = sys.argv
sys.path[:0] = [task, layer]
start = time.perf_counter()
__import__(module)
print(time.perf_counter() - start, *{name.partition(".")[0] for name in sys.modules})
"""


class UploadedFunctions:
    """Invokes the functions that are deployed in moto, with a cold start for each invocation.

    Args:
        stage: the stage with the functions.
        python: the interpreter.
        layer: the folder with the packages of requirements.txt, like /opt/python.
        folder: a folder for the unpacked zips and the logs.
    """

    def __init__(self, stage: Stage, python: Path, layer: Path, folder: Path) -> None:
        self.stage = stage
        self._python = python
        self._layer = layer
        self._folder = folder

    def __call__(self, name: str, event: dict[str, Any]) -> InvokeResult:
        deployed = self.stage.client("lambda").get_function(FunctionName=name)
        configuration = deployed["Configuration"]
        function = Function(
            name=name,
            arn=configuration["FunctionArn"],
            # Does as AWS's runtime client: the handler's file may be given as a path.
            handler=configuration["Handler"].replace("/", "."),
            environment=configuration["Environment"]["Variables"],
            timeout=configuration["Timeout"],
            memory=configuration["MemorySize"],
        )
        task = self.unpacked(deployed)
        command = [self._python, *ISOLATED, "-c", BOOTSTRAP, worker.__file__, task, self._layer, function.handler]
        process = UploadedWorker(function, self._folder / f"{name}.log", [str(part) for part in command])
        try:
            answer = process.invoke(event)
        finally:
            process.close()
        return InvokeResult(answer["error"], "Unhandled") if "error" in answer else InvokeResult(answer["result"])

    def unpacked(self, deployed: dict[str, Any]) -> Path:
        """Returns the folder with the code of GetFunction's answer, as it was uploaded.

        moto's answer has the right key, but in a bucket of AWS that moto lacks. So this reads the upload, and checks
        its digest.
        """
        sha256 = deployed["Configuration"]["CodeSha256"]
        folder = self._folder / sha256.replace("/", "_")
        if not folder.exists():
            bucket = self.stage.outputs()["ServerlessDeploymentBucketName"]
            key = urlparse(deployed["Code"]["Location"]).path.lstrip("/")
            code = self.stage.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            if b64encode(hashlib.sha256(code).digest()).decode() != sha256:
                raise ValueError(f"s3://{bucket}/{key} is not the code that {deployed['Configuration']} runs")
            with zipfile.ZipFile(BytesIO(code)) as archive:
                archive.extractall(folder)
        return folder


class UploadedWorker(WorkerProcess):
    """A process with the environment that Lambda would give it, and with access to moto."""

    def __init__(self, function: Function, log: Path, command: list[str]) -> None:
        self.log_stream = "cold"
        self._function = function
        self._initialised = False
        self._buffer = b""
        reach = {name: value for name, value in os.environ.items() if name.startswith("AWS_") or name == "NO_PROXY"}
        self._tmp = tempfile.TemporaryDirectory(prefix="tmp-", dir=log.parent, ignore_cleanup_errors=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=reach | self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )


@dataclass(frozen=True)
class ColdStart:
    """A fresh interpreter's import of a handler's module: its seconds, and the top-level modules that it loaded."""

    seconds: float
    modules: frozenset[str]


def cold_start(python: Path, layer: Path, task: Path, handler: str) -> ColdStart:
    """Imports a handler's module as Lambda's initialisation does."""
    module = handler.replace("/", ".").rpartition(".")[0]
    ran = subprocess.run(
        [python, *ISOLATED, "-c", COLD_START, task, layer, module], env={}, capture_output=True, text=True, check=True
    )
    seconds, *modules = ran.stdout.split()
    return ColdStart(float(seconds), frozenset(modules))
