"""Lets a command in another terminal find the running stack: one file in the stack's home.

The stack's process holds a lock on the file. The kernel drops the lock when the process ends for any reason. So a file
without a lock is stale, and a reused process id cannot mislead.
"""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import pg8000.dbapi

from totes.postgres import driver

HOME = ".totes"
FILE = "stack.json"


class StackNotRunning(Exception):
    """No stack runs in this home. The message says how to start one."""


class StackAlreadyRunning(Exception):
    """A stack already runs in this home. The message says where, and gives the remedy."""


@dataclass(frozen=True)
class StackState:
    """The addresses by which another process reaches a running stack.

    Attributes:
        endpoint_url: the address of every AWS service.
        postgres_host: the Unix socket's folder.
        logs: the folder with one file of JSON lines per function.
        pid: the id of the stack's process.
        every: the schedule's interval, such as 20s; None means the rule's rate.
    """

    endpoint_url: str
    region: str
    account: str
    postgres_host: str
    postgres_port: int
    postgres_superuser: str
    logs: str
    pid: int
    every: str | None = None

    def environment(self) -> dict[str, str]:
        """Returns the variables that point any AWS SDK at the stack. The credentials are useless elsewhere."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def point_here(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Points all AWS clients that are created from now on at this stack.

        Removes the other AWS variables first, because a profile or one service's endpoint would take precedence.
        """
        for name in [name for name in environment if name.startswith("AWS_")]:
            del environment[name]
        environment.update(self.environment())

    def connect(self, database: str) -> pg8000.dbapi.Connection:
        """Opens a superuser's connection to `totesys` or `warehouse`. The caller closes it."""
        return driver.Connection(
            self.postgres_superuser,
            unix_sock=f"{self.postgres_host}/.s.PGSQL.{self.postgres_port}",
            database=database,
        )


def home() -> Path:
    """Returns the folder for a new stack's state: $TOTES_HOME, or `.totes` in the current folder."""
    return Path(os.environ.get("TOTES_HOME") or HOME).absolute()


def nearest_home() -> Path | None:
    """Returns the folder of the stack for commands: $TOTES_HOME, or `.totes` in the current folder or one above it.

    Searches upwards like git, but ignores other users' folders, because anybody may make one in /tmp. Returns None if
    there is none.
    """
    if os.environ.get("TOTES_HOME"):
        return home()
    here = Path.cwd()
    return next((folder / HOME for folder in (here, *here.parents) if _has_stack(folder / HOME)), None)


def running_stack(folder: Path | None = None) -> StackState:
    """Returns the stack that runs in a home, or in the nearest one.

    Raises:
        StackNotRunning: there is no stack, its process died, or it is still starting.
    """
    found = folder or nearest_home()
    if found is None:
        raise StackNotRunning(
            f"No stack runs here: you started none in {Path.cwd()} or in a folder above it. Start one with `totes up`, "
            "or go to the folder in which it runs."
        )
    path = found / FILE
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError:
        raise StackNotRunning(f"No stack runs in {path.parent}: start one with `totes up`.") from None
    with file:
        if _lock(file, fcntl.LOCK_SH):
            raise StackNotRunning(f"{path} was left behind by a stack that no longer runs: start one with `totes up`.")
        text = file.read()
    if not text:
        raise StackNotRunning(f"The stack in {path.parent} is still starting: try again in a moment.")
    try:
        return StackState(**json.loads(text))
    except (ValueError, TypeError):
        raise StackNotRunning(
            f"{path} is not a state file of this release: stop the stack that runs in {path.parent}, and start it "
            "again with `totes up`."
        ) from None


def check_free(folder: Path) -> None:
    """Checks that a home could be claimed, without changing it.

    Raises:
        StackAlreadyRunning: another process holds it.
    """
    path = folder / FILE
    if path.exists():
        with path.open("r+", encoding="utf-8") as file:
            if not _lock(file, fcntl.LOCK_EX):
                raise _already_running(path, file.read())


@contextlib.contextmanager
def claimed_home(folder: Path) -> Iterator[TextIO]:
    """Holds a home while a stack runs, and cleans it up at the end.

    Yields:
        The empty state file, for `publish`.

    Raises:
        StackAlreadyRunning: another process holds it.
    """
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    with _claimed_file(path) as file:
        try:
            yield file
        finally:
            path.unlink(missing_ok=True)
            if created:
                # The folder may contain someone's own files.
                with contextlib.suppress(OSError):
                    folder.rmdir()


def publish(state: StackState, file: TextIO) -> None:
    """Writes the state for other processes."""
    file.write(json.dumps(asdict(state), indent=2))
    file.flush()


def _claimed_file(path: Path) -> TextIO:
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
        if not _lock(file, fcntl.LOCK_EX):
            with file:
                raise _already_running(path, file.read())
        # The former owner may have deleted the file after it was opened here and before it was locked.
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            file.truncate(0)
            return file
        file.close()


def _already_running(path: Path, text: str) -> StackAlreadyRunning:
    found = re.search(r'"pid": (\d+)', text)
    process = f" as process {found[1]}" if found else ""
    return StackAlreadyRunning(
        f"A stack already runs in {path.parent}{process}. Stop it with Ctrl-C in its terminal, or set "
        "TOTES_HOME to another folder to run a second one beside it."
    )


def _has_stack(folder: Path) -> bool:
    """Returns whether a folder has a stack's file and belongs to this user, as must a link to it."""
    try:
        ours = {folder.lstat().st_uid, folder.stat().st_uid} == {os.getuid()}
        return ours and (folder / FILE).exists()
    except OSError:
        return False


def _lock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
