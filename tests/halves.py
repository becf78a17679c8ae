"""Runs all tests, in two processes side by side: `python -m tests.halves`.

The one half has the drills, which wait for deployments and the state machine, and tells when it is over; the other is
seen as it goes on. The exit code is 1 where either fails, or where too little of what is deployed was covered.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DRILLS = ["tests/deploy", "tests/faults", "tests/machine"]
LOG = ROOT / "build" / "drills.log"
COVERAGE = [".coverage.drills", ".coverage.others"]


def main() -> int:
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("wb") as log:
        drills = subprocess.Popen(_pytest(*DRILLS), cwd=ROOT, env=_covered(0), stdout=log, stderr=subprocess.STDOUT)
        try:
            others = subprocess.run(
                _pytest(*(f"--ignore={path}" for path in DRILLS)), cwd=ROOT, env=_covered(1), check=False
            )
            sys.stdout.write(f"\nThe drills, {', '.join(DRILLS)}, were run meanwhile:\n")
            sys.stdout.flush()
            drills.wait()
        finally:
            drills.kill()
    sys.stdout.write(LOG.read_text(encoding="utf-8", errors="replace"))
    sys.stdout.flush()
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "combine", *COVERAGE], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    covered = subprocess.run([*coverage, "report"], cwd=ROOT, check=False)
    return int(any((drills.returncode, others.returncode, covered.returncode)))


def _pytest(*arguments: str) -> list[str]:
    # What is covered is judged of both halves together.
    return [sys.executable, "-m", "pytest", "--cov", "--cov-report=", "--cov-fail-under=0", *arguments]


def _covered(half: int) -> dict[str, str]:
    return os.environ | {"COVERAGE_FILE": str(ROOT / COVERAGE[half])}


if __name__ == "__main__":
    sys.exit(main())
