"""Where the `totes` command begins, before anything is imported that takes its time."""

import signal
import sys


def main() -> int:
    """Runs the command line and returns its exit code.

    While modules are imported, which may take a second, Ctrl-C ends the process in silence: Python would show a
    traceback of whatever module was at its turn.
    """
    takes_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if takes_interrupts:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from console.main import main as run

    if takes_interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


if __name__ == "__main__":
    sys.exit(main())
