"""Runs a PostgreSQL server exactly as long as the process that started the supervisor.

It is run as `python -I -S supervisor.py '<plan as JSON>'`, with a pipe from the owner as standard input. The pipe's end
is the signal to stop: the owner closes it, and the kernel closes it when the owner dies, even by `kill -9`. So an
orderly exit and a crash take the same path, and neither leaves a process or a folder behind. If the server ends by
itself, the supervisor prints the end of its log and exits.

It starts in 30 ms, because it imports only the standard library.
"""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

SHUTDOWN_SECONDS = 30
LOG_TAIL_BYTES = 2000


def main(plan: dict[str, Any]) -> None:
    """Runs one server.

    Args:
        plan: `command` (list), `folder` (working directory), `environment` (dict), `user` and `group` (ids; null keeps
            the current ones), `log` (file for the server's output), `remove` (folders to delete at the end).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    log = Path(plan["log"])
    try:
        with log.open("ab") as output:
            server = subprocess.Popen(  # noqa: S603 - the plan is our own parent's
                plan["command"],
                cwd=plan["folder"],
                env=plan["environment"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=plan["user"],
                group=plan["group"],
                extra_groups=None if plan["user"] is None else [],
            )
        try:
            # Sets the handler first: then poll() notices a server that died before.
            signal.signal(signal.SIGCHLD, _leave)
            if server.poll() is None:
                sys.stdin.buffer.read()
        finally:
            _stop(server, log)
    finally:
        for folder in plan["remove"]:
            shutil.rmtree(folder, ignore_errors=True)


def _stop(server: subprocess.Popen[bytes], log: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if server.poll() is not None:
        sys.stdout.buffer.write(log.read_bytes()[-LOG_TAIL_BYTES:])
        return
    server.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown: sessions are ended, nothing is lost
    try:
        server.wait(SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _leave(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
