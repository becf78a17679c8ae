"""The `totes` command begins here, before it imports slow modules."""

import os
import signal
import sys
from pathlib import Path

_PROJECT = Path(__file__).parents[1]
_NOTHING_DONE = b"totes: Interrupted before it began: nothing was done.\n"


def main() -> int:
    """Runs the command line and returns its exit code.

    Imports may take a second. Ctrl-C ends the process meanwhile; Python would show the traceback of an import.
    """
    if not (_PROJECT / "serverless.yml").is_file():
        sys.exit(
            f"totes: {_PROJECT} is not the project's folder, so it lacks schemas/, statemachine/ and the rest. "
            "Clone the project and run `make run` there; then .venv/bin/totes is this command."
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
