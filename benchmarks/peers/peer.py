"""Programs that others wrote for the same work, each in an environment of its own under build/peers."""

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
# Nobody tells home how a benchmark went, nor looks for a newer version of itself.
_QUIET = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    "INGESTR_DISABLE_TELEMETRY": "true",
    "SLING_DISABLE_TELEMETRY": "true",
}
# What an appending peer has made of the orders: every version of each, the latest of which counts.
_LATEST = (
    "(SELECT DISTINCT ON (sales_order_id) * FROM public.sales_order "
    "ORDER BY sales_order_id, last_updated DESC) AS latest"
)
_PATIENCE_SECONDS = 1800


@dataclass(frozen=True)
class Peer:
    """One way to use a program.

    Attributes:
        name: as it is shown.
        program: the name of its environment and of its pinned requirements.
        command: made of the environment's folder, the world, and the names of the target database and its state.
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
        """Empties what it loads into, and what it remembers."""
        environment.empty_database(self.database)
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True)

    def run(self, environment: Environment) -> float:
        """Runs it to its end; returns the seconds of the whole process.

        Raises:
            PeerFailed: with the last line that it said.
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
        """Makes sure that it has moved what it says.

        Raises:
            PeerFailed: it has not.
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
    """A database of the world's server, by its Unix socket."""
    return f"{scheme}://{user}@{host}/{database}?host={environment.postgres.host}"


def version(program: str) -> str:
    """Returns the version of a program that is pinned."""
    pins = (FOLDER / f"{program}.txt").read_text(encoding="utf-8")
    return str(re.findall(rf"^{program}\S*==(\S+)", pins, re.MULTILINE)[0])


def installed(program: str, tell: Tell) -> str:
    """Makes the environment of a program where it is not there yet; returns why it can't, or nothing."""
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
    return (errors or lines or ["it said nothing"])[-1][:200]
