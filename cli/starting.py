"""Makes the names of executions, and the hints and command lines that start them."""

import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4


def another_terminal() -> str:
    """Returns the words that begin a hint: where to type commands, and how to make `totes` known there."""
    if shutil.which("totes"):
        return "In another terminal"
    return f"In another terminal, after `. {Path(sys.prefix) / 'bin' / 'activate'}`"


def unique_name(origin: str) -> str:
    """Returns a unique name for an execution, with its origin and the current time."""
    return f"{origin}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}"


def command(given: Mapping[str, Any]) -> str:
    """Returns the command line that starts an execution with this input."""
    options = [f"--full-read {table}" for table in given.get("full_read", ())]
    options += [f"--accept-deletions {table}={rows}" for table, rows in given.get("accept_deletions", {}).items()]
    return " ".join(["totes run", *options])
