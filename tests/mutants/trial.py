"""Tries mutants: each in a copy of the working tree, with the tests that must catch it."""

import compileall
import os
import queue
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.mutants.mutant import Mutant

# Time limits of one mutant's tests, and of all tests without a mutant.
LIMIT_SECONDS = 180
CONTROL_SECONDS = 1800
# Above this line a test may have logged anything.
_SUMMARY = "short test summary info"
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - (.*))?$", re.MULTILINE)
_PASSED, _FAILED = 0, 1


class Outcome(StrEnum):
    CAUGHT = "caught"
    SURVIVED = "survived"
    # Neither shows that a test would have noticed.
    OUT_OF_TIME = "out of time"
    NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Verdict:
    """The outcome of a mutant.

    Attributes:
        test: the first test that failed; empty if none did.
        said: the test's message, or the end of pytest's output if it could not run.
    """

    mutant: Mutant
    outcome: Outcome
    seconds: float
    test: str = ""
    said: str = ""


class ControlFailed(Exception):
    """The tests fail in a copy without a mutant, so they can't judge one."""


class Copy:
    """A copy of the working tree, including uncommitted changes, in which tests import the copied code."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._folder = folder
        for name in _files(root):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target)
        # osls packages the templates with it; without Node the tests that need it are skipped, and catch nothing.
        if (root / "node_modules").exists():
            (folder / "node_modules").symlink_to(root / "node_modules")
        # Python usually compares bytecode with its source by size and second, and a mutant may change neither.
        compileall.compile_dir(folder, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)

    def control(self, tests: Sequence[str]) -> None:
        """Runs tests that must pass.

        Raises:
            ControlFailed: a test failed; with pytest's output.
        """
        ran = self._pytest(tests, CONTROL_SECONDS)
        if ran.returncode != _PASSED:
            raise ControlFailed(ran.stdout)

    def judge(self, mutant: Mutant) -> Verdict:
        """Runs the mutant's tests with the mutant in place, until one fails."""
        start = time.monotonic()
        try:
            with self._sabotaged(mutant):
                ran = self._pytest(mutant.tests, LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            return Verdict(mutant, Outcome.OUT_OF_TIME, time.monotonic() - start)
        seconds = time.monotonic() - start
        failure = _FAILURE.search(ran.stdout.rpartition(_SUMMARY)[2])
        if ran.returncode == _FAILED and failure:
            return Verdict(mutant, Outcome.CAUGHT, seconds, failure[1], failure[2] or "")
        outcome = Outcome.SURVIVED if ran.returncode == _PASSED else Outcome.NOT_TESTED
        return Verdict(mutant, outcome, seconds, said=ran.stdout[-2000:])

    @contextmanager
    def _sabotaged(self, mutant: Mutant) -> Iterator[None]:
        path = self._folder / mutant.file
        text = path.read_text(encoding="utf-8")
        path.write_text(mutant.applied(text), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(text, encoding="utf-8")

    def _pytest(self, tests: Sequence[str], limit: float) -> subprocess.CompletedProcess[str]:
        # Bytecode that is written now would be compared by size and second.
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(self._folder), "COLUMNS": "300"}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
            check=False,
        )


def try_all(
    root: Path, folder: Path, mutants: Sequence[Mutant], workers: int, report: Callable[[Verdict], None]
) -> list[Verdict]:
    """Judges all mutants, after checking that each copy passes the same tests without them.

    Args:
        folder: an empty one, for the copies.
        report: is called with each verdict.

    Raises:
        ControlFailed: a test fails without a mutant.
    """
    copies = [Copy(root, folder / str(number)) for number in range(min(workers, len(mutants)))]
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    free: queue.SimpleQueue[Copy] = queue.SimpleQueue()

    def judged(mutant: Mutant) -> Verdict:
        copy = free.get()
        try:
            verdict = copy.judge(mutant)
        finally:
            free.put(copy)
        report(verdict)
        return verdict

    with ThreadPoolExecutor(len(copies)) as pool:
        shares = [tests[number :: len(copies)] for number in range(len(copies))]
        for _ in pool.map(Copy.control, copies, [share for share in shares if share]):
            pass
        for copy in copies:
            free.put(copy)
        return list(pool.map(judged, mutants))


def _files(root: Path) -> list[Path]:
    """Returns the files of the working tree that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [Path(name) for name in listed.stdout.split("\0") if name and (root / name).is_file()]
