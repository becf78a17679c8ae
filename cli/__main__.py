"""The `totes` command begins here, before it imports slow modules."""

import signal
import sys


def main() -> int:
    """Runs the command line and returns its exit code.

    Imports may take a second. Ctrl-C ends the process silently meanwhile; Python would show the traceback of an import.
    """
    takes_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if takes_interrupts:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cli.main import main as run

    if takes_interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


if __name__ == "__main__":
    sys.exit(main())
