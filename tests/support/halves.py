"""Runs all tests, in two processes side by side: `python -m tests.support.halves`.

The one half has the drills, which wait for stacks and the state machine. Its output is shown when it has ended; the
other half's is shown as it runs. The exit code is 1 if either fails, or if the other half covers too little of what is
deployed. The drills run without coverage: watching their every line would make them half as slow again, most of it in
what stands in for AWS.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DRILLS = [
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
