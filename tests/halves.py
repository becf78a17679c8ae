"""Runs all tests, in two processes side by side: `python -m tests.halves`.

The one half has the drills, which wait for deployments, stacks and the state machine, and tells when it is over; the
other is seen as it goes on. The exit code is 1 where either fails, or where the other covered too little of what is
deployed: to watch the drills' every line would make them half as slow again, most of it in what stands in for AWS.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DRILLS = [
    "tests/benchmarks",
    "tests/deploy",
    "tests/faults",
    "tests/integration/test_console.py",
    "tests/integration/test_operator.py",
    "tests/machine",
    "tests/page",
]
LOG = ROOT / "build" / "drills.log"


def main() -> int:
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("wb") as log:
        drills = subprocess.Popen(_pytest(*DRILLS), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            others = subprocess.run(_pytest("--cov", *(f"--ignore={path}" for path in DRILLS)), cwd=ROOT, check=False)
            sys.stdout.write(f"\nThe drills, {', '.join(DRILLS)}, were run meanwhile:\n")
            sys.stdout.flush()
            drills.wait()
        finally:
            drills.kill()
    sys.stdout.write(LOG.read_text(encoding="utf-8", errors="replace"))
    sys.stdout.flush()
    return int(any((drills.returncode, others.returncode)))


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


if __name__ == "__main__":
    sys.exit(main())
