"""Starts the `totes` command before it imports the slow modules."""

import os
import signal
import sys
from pathlib import Path

_PROJECT = Path(__file__).parents[1]
_NOTHING_DONE = b"totes: Interrupted before it started: nothing was done.\n"


def main() -> int:
    """Runs the command line and returns its exit code.

    Imports may take a second. Until they are done, Ctrl-C ends the process without a traceback.
    """
    if not (_PROJECT / "serverless.yml").is_file():
        sys.exit(
            f"totes: {_PROJECT} is not the project's folder: it has no schemas/, statemachine/ and so on. "
            "Clone the project, run `make run` there, and use its .venv/bin/totes."
        )
    takes_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if takes_interrupts:
        signal.signal(signal.SIGINT, _end)
    from cli.main import main as run

    if takes_interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def _end(number: int, _frame: object) -> None:
    os.write(2, _NOTHING_DONE)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
