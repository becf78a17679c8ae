"""Runs other programs that do the same work, each in its own environment under build/peers."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import totesys
from benchmarks.environment import Environment
from benchmarks.rounds import PeerFailed, Tell
from local.aws.deployment import ROOT
from local.postgres.databases import SOURCE

FOLDER = Path(__file__).parent
ENVIRONMENTS = ROOT / "build" / "peers"
# Disables telemetry and the search for newer versions.
_QUIET = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    "INGESTR_DISABLE_TELEMETRY": "true",
    "SLING_DISABLE_TELEMETRY": "true",
}
# The latest version of each order, for a peer that appends every version.
_LATEST = (
    "(SELECT DISTINCT ON (sales_order_id) * FROM public.sales_order "
    "ORDER BY sales_order_id, last_updated DESC) AS latest"
)
_PATIENCE_SECONDS = 1800


@dataclass(frozen=True)
class Peer:
    """One way to use a program.

    Attributes:
        name: its name in the results.
        program: the name of its virtual environment and of its file of pinned requirements.
        command: returns its command line.
        appends: whether it keeps all versions of a row.
    """

    name: str
    program: str
    command: Callable[["Peer", Environment], Sequence[str | Path]]
    appends: bool = False

    @property
    def environment(self) -> Path:
        return ENVIRONMENTS / self.program

    @property
    def database(self) -> str:
        return self.name.replace(", ", "_")

    @property
    def state(self) -> Path:
        return ENVIRONMENTS / f"{self.database}.state"

    def forget(self, environment: Environment) -> None:
        """Empties its target database and deletes its state."""
        environment.empty_database(self.database)
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True)

    def run(self, environment: Environment) -> float:
        """Runs it to its end; returns the seconds of the whole process.

        Raises:
            PeerFailed: with the last line of its output.
        """
        variables = {"SRC": uri(environment, SOURCE), "TGT": uri(environment, self.database), "HOME": str(self.state)}
        command = self.command(self, environment)
        started = time.perf_counter()
        try:
            done = subprocess.run(
                command,
                cwd=self.state,
                env=os.environ | _QUIET | variables,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerFailed(f"failed: {type(error).__name__}") from error
        seconds = time.perf_counter() - started
        if done.returncode:
            raise PeerFailed(f"failed with {done.returncode}: {_last_line(done.stdout + done.stderr)}")
        return seconds

    def check(self, environment: Environment) -> None:
        """Checks its result.

        Raises:
            PeerFailed: the target's table is missing, or differs from totesys.
        """
        try:
            found = totesys.content(
                environment.postgres, self.database, _LATEST if self.appends else "public.sales_order"
            )
        except Exception as error:
            raise PeerFailed("wrong answer: its table is not there") from error
        expected = totesys.content(environment.postgres)
        if found != expected:
            raise PeerFailed(f"wrong answer: rows and sums are {found}, in totesys they are {expected}")


def uri(
    environment: Environment, database: str, scheme: str = "postgresql", user: str = "postgres", host: str = ""
) -> str:
    """Returns a database's URI, with the server's Unix socket."""
    return f"{scheme}://{user}@{host}/{database}?host={environment.postgres.host}"


def version(program: str) -> str:
    """Returns a program's pinned version."""
    pins = (FOLDER / f"{program}.txt").read_text(encoding="utf-8")
    return str(re.findall(rf"^{program}\S*==(\S+)", pins, re.MULTILINE)[0])


def installed(program: str, tell: Tell) -> str:
    """Installs a program into its environment, unless it is already there. Returns the error, or an empty text."""
    pins = FOLDER / f"{program}.txt"
    folder = ENVIRONMENTS / program
    mark, made_of = folder / ".made-of", hashlib.sha256(pins.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == made_of:
        return ""
    tell(f"installing {program} into {folder.relative_to(ROOT)}")
    commands: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", "--clear", folder],
        [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-r", pins],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"absent, not installed: {_last_line(done.stdout + done.stderr)}"
    mark.write_text(made_of)
    return ""


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it printed nothing"])[-1][:200]
