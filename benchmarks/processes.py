"""Starts the processes that run our code."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

from benchmarks.rounds import OursFailed
from local.aws.deployment import ROOT

Measured = dict[str, dict[str, Any]]
_SHOWN = 600


def once(environment: Mapping[str, str], *arguments: str) -> tuple[float, Any]:
    """Runs benchmarks.ours to its end; returns the seconds of the whole process, and its answer.

    Raises:
        OursFailed: with the end of its error output.
    """
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ours", *arguments],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise OursFailed(f"{' '.join(arguments)}: {done.stderr[-_SHOWN:]}")
    return seconds, json.loads(done.stdout)


class Warm:
    """A process that keeps running, like a warm Lambda."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._process = process
        self._errors = errors

    def run(self, *stages: str) -> Measured:
        """Calls the stages' handlers one after the other."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(stages) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._errors.seek(0)
            raise OursFailed(f"{' '.join(stages)}: {self._errors.read()[-_SHOWN:]}")
        measured: Measured = json.loads(answer)
        return measured

    def seconds(self, *stages: str) -> float:
        return float(sum(stage["seconds"] for stage in self.run(*stages).values()))


@contextlib.contextmanager
def warm(environment: Mapping[str, str]) -> Iterator[Warm]:
    """Runs a warm process during the block."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ours", "--serve"],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield Warm(process, errors)
        finally:
            process.communicate()


def python(code: str) -> float:
    """Runs code in a new interpreter, and returns the seconds."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - started
